"""Arguments that several verbs share: settings, limits, levels, times, the server; without those for nodes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.client import Client, Endpoint
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.messages import Level, Levels

#: limit of the entries in a list
AT_MOST = Number(gte=1, lte=10_000)
Limit = Annotated[int, Parameter(name=["--limit", "-n"], help="How many, from the newest.", validator=AT_MOST)]
Since = Annotated[
    str | None,
    Parameter(name="--since", help="Only since then: 10m (ago), or 2026-11-21T10:00 (local time; with --utc in UTC)."),
]
LevelsGiven = Annotated[
    str, Parameter(name="--level", help="Only of these levels: warning, stderr,critical, 7, 1,2 or 7-9.")
]


@contextmanager
def connect(*, timeout_s: float | None = None) -> Generator[Client]:
    """Yield a client of the server that flags, the environment or this machine define.

    With `timeout_s` no step of a call, such as connecting or reading, takes longer.
    """
    with Client(Endpoint.find(), timeout_s=timeout_s) as client:
        client.absent = print_absence
        yield client


def moment(written: str, *, utc: bool) -> float:
    """Return seconds since the epoch, from how long ago or from a date and time."""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        try:
            return time.time() - parse_duration(written)
        except BadInput as error:
            hint = "Write how long ago (10m, 2h, 3d), or a date and time (2026-11-21T10:00)."
            raise BadInput(f"'{written}' is no time.", hint=hint) from error
    if at.tzinfo is None and utc:
        at = at.replace(tzinfo=UTC)
    try:
        return at.timestamp()
    except (OverflowError, OSError, ValueError) as error:
        raise BadInput(f"'{written}' is a time that this machine cannot represent.") from error


def levels(written: str) -> str:
    """Return the levels as numbers; they may be written by name."""
    return str(Levels.parse(",".join(_level(part) for part in written.split(","))))


def _level(part: str) -> str:
    name = part.strip().replace("-", "_").replace(" ", "_").upper()
    if not name or not name[0].isalpha():
        return part
    try:
        return str(Level[name].value)
    except KeyError as error:
        known = ", ".join(level.name.lower() for level in Level)
        raise BadInput(f"There is no level '{part.strip()}'.", hint=f"Levels are 1 to 30, or {known}.") from error


def print_absence(seconds: float) -> None:
    """Print that the server of a stream does not answer, and for how long it is tried again."""
    output.errors.print(f"[yellow]{escape(absence(seconds))}[/]", soft_wrap=True)


def absence(seconds: float) -> str:
    """Return the sentence for a server that does not answer."""
    return f"The server does not answer; trying again for {seconds:g} s."


def settings(given: Iterable[str]) -> dict[str, SettingValue]:
    """Settings of --set name=value: numbers, true/false, [lists] and text, as they look."""
    return {name: _setting_value(text) for name, text in (key_value(item, "a setting") for item in given)}


def key_value(text: str, what: str) -> tuple[str, str]:
    """Return the two halves of "key=value"."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadInput(f"Expected {what} as key=value, found '{text}'.")
    return key, value


def _setting_value(text: str) -> SettingValue:
    if text.lower().startswith("0x"):
        try:
            return int(text, 16)
        except ValueError:
            return text
    try:
        return msgspec.json.decode(text, type=bool | int | float | list[int | float])
    except msgspec.MsgspecError:
        return text
