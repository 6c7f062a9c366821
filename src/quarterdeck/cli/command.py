"""The arguments that describe a command for nodes. `selection.py` has those that select the nodes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from quarterdeck.cli.arguments import key_value
from quarterdeck.cli.selection import Where
from quarterdeck.cli.text import standard_input, unreadable
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector

Cmd = Annotated[str, Parameter(help="The command's name, such as ping or get_os_info.")]
Arg = Annotated[
    tuple[str, ...],
    Parameter(
        name="--arg",
        help="An argument, name=value: JSON where it is JSON, else text; name=@FILE is the text of a file, '@@' one @. "
        "Repeatable.",
    ),
]
Data = Annotated[
    str,
    Parameter(help="What the command gets as its data; '-' reads it from standard input.", allow_leading_hyphen=True),
]
Id = Annotated[str, Parameter(help="An id of your own; one that was used before is refused.")]
Prefix = Annotated[
    bool | None,
    Parameter(
        name="--prefix",
        negative="--no-prefix",
        help="Whether each line comes after the name of its node; default: unless there is only one.",
    ),
]
Detach = Annotated[bool, Parameter(help="Return as soon as the server has it.")]


def asked(
    cmd: str,
    *,
    arg: Iterable[str],
    data: str,
    selector: Selector,
    where: Where,
    id: str = "",
) -> CreateCommand:
    """Return the command that these arguments describe."""
    return CreateCommand(
        cmd=cmd,
        args=arguments(arg),
        data=standard_input() if data == "-" else data,
        id=id,
        selector=selector,
        any=where.any,
        expires_s=where.expires_s,
    )


def arguments(given: Iterable[str]) -> dict[str, Any]:
    """Arguments of --arg name=value: what is JSON is read as JSON, anything else is text; @FILE is a file's text."""
    return {name: _value(text) for name, text in (key_value(item, "an argument") for item in given)}


def _value(text: str) -> Any:
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@"):
        return _text_of(Path(text[1:]))
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise unreadable(path, error, hint="A text that begins with '@' is written with two.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text: {error}.", hint="Send other files with `qd file push`.") from error
