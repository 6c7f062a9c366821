"""The arguments that say what nodes are asked to do, and how it is shown; the verbs that ask share them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from quarterdeck.cli.arguments import key_value
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tables import parse_duration

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
Any_ = Annotated[bool, Parameter(name="--any", help="On one of the nodes that match, one that is online.")]
Prefix = Annotated[
    bool | None,
    Parameter(
        name="--prefix",
        negative="--no-prefix",
        help="Whether each line comes after the name of its node; default: unless there is only one.",
    ),
]
Expires = Annotated[str | None, Parameter(help="Nodes that have not got it by then do not run it, e.g. 1h.")]


def asked(
    cmd: str,
    *,
    arg: Iterable[str],
    data: str,
    selector: Selector,
    any: bool,
    expires: str | None,
    id: str = "",
) -> CreateCommand:
    """The command that these arguments describe."""
    return CreateCommand(
        cmd=cmd,
        args=arguments(arg),
        data=sys.stdin.read() if data == "-" else data,
        id=id,
        selector=selector,
        any=any,
        expires_s=None if expires is None else parse_duration(expires),
    )


def arguments(given: Iterable[str]) -> dict[str, Any]:
    """Arguments of --arg name=value: what is JSON is read as JSON, anything else is text; @FILE is a file's text."""
    return {name: _value(text) for name, text in (key_value(item, "argument") for item in given)}


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
        raise BadInput(
            f"{path} cannot be read: {error.strerror}.", hint="A text that begins with '@' is written with two."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text: {error}.", hint="Send other files with `qd file push`.") from error
