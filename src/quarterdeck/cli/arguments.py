"""Arguments that several commands share: which nodes, which settings, which server."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Annotated

import msgspec
from cyclopts import Parameter

from quarterdeck.client import Client, Endpoint
from quarterdeck.model.errors import BadInput
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.nodes import Selector

On = Annotated[tuple[str, ...], Parameter(name="--on", help="Only nodes with this label: key=value. Repeatable.")]
OnNode = Annotated[tuple[str, ...], Parameter(name="--node", help="Only this node: name, nid or gid/nid. Repeatable.")]
OnGrid = Annotated[int | None, Parameter(name="--gid", help="Only nodes of this grid.")]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON instead of a table.")]
JsonLines = Annotated[bool, Parameter(name="--json", help="One JSON object a line.")]


@contextmanager
def connect() -> Generator[Client]:
    """The client of the server that flags, environment or this machine name."""
    with Client(Endpoint.find()) as client:
        yield client


def selector(on: Iterable[str], node: Iterable[str], gid: int | None) -> Selector:
    """The selector that --on, --node and --gid describe."""
    return Selector(labels=dict(key_value(text, "a label") for text in on), nodes=tuple(node), gid=gid)


def settings(given: Iterable[str]) -> dict[str, SettingValue]:
    """Settings of --set name=value: numbers, true/false, [lists] and text, as they look."""
    return {name: _setting_value(text) for name, text in (key_value(item, "a setting") for item in given)}


def key_value(text: str, what: str) -> tuple[str, str]:
    """The two halves of "key=value"."""
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
