"""The arguments that say what nodes are asked to do, and how it is shown; the verbs that ask share them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from quarterdeck.cli.arguments import On, OnGrid, OnNode, key_value, selector
from quarterdeck.client import Client
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
Id = Annotated[str, Parameter(help="An id of your own; one that was used before is refused.")]
Any_ = Annotated[bool, Parameter(name="--any", help="On one of the nodes that match, one that is online.")]
Prefix = Annotated[
    bool | None,
    Parameter(
        name="--prefix",
        negative="--no-prefix",
        help="Whether each line comes after the name of its node; default: unless there is only one.",
    ),
]
Detach = Annotated[bool, Parameter(help="Return as soon as the server has it.")]
Expires = Annotated[str | None, Parameter(help="Nodes that have not got it by then do not run it, e.g. 1h.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """On which nodes."""

    on: On = ()
    node: OnNode = ()
    gid: OnGrid = None
    role: Annotated[str, Parameter(help="Only nodes with this role: --role web is --on role=web.")] = ""
    all: Annotated[bool, Parameter(help="On all that match; needed where no node is named and there are several.")] = (
        False
    )
    any: Any_ = False
    expires: Expires = None

    @property
    def expires_s(self) -> float | None:
        """Seconds after which nodes that have not got it do not run it."""
        return None if self.expires is None else parse_duration(self.expires)

    def chosen(self, client: Client) -> Selector:
        """The nodes that are meant. `BadInput` when that is every node of a fleet, and --all was not given."""
        if self.all and self.any:
            raise BadInput("--all and --any are opposites.", hint="Give one of them.")
        named = selector((*self.on, *((f"role={self.role}",) if self.role else ())), self.node, self.gid)
        if named != Selector() or self.all or self.any:
            return named
        nodes = client.list_nodes()
        if len(nodes) > 1:
            raise BadInput(
                f"No node is named, so this would run on all {len(nodes)} nodes.",
                hint="Say which, with --on, --role, --node or --gid; --all for all of them, --any for one.",
            )
        return Selector(nodes=tuple(str(node.key) for node in nodes))


def asked(
    cmd: str,
    *,
    arg: Iterable[str],
    data: str,
    selector: Selector = Selector(),
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
        raise BadInput(
            f"{path} cannot be read: {error.strerror}.", hint="A text that begins with '@' is written with two."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text: {error}.", hint="Send other files with `qd file push`.") from error
