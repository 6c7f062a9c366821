"""`qd run`: run a program or a script on nodes and see what it prints, as if it ran here.

Only says what is asked: the command `execute`, or one of those that run scripts. How it is followed is in `results.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import results
from quarterdeck.cli.arguments import Json, connect, key_value
from quarterdeck.cli.command import Detach, Id, Prefix, Where
from quarterdeck.cli.results import View
from quarterdeck.model.errors import BadInput, NotFound, TooLarge
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES, CreateCommand
from quarterdeck.model.processes import ExecuteArguments, parse_size
from quarterdeck.model.scripts import LUA, PYTHON, SHELL
from quarterdeck.model.tables import parse_duration

#: what runs a script, by how its name ends
_SCRIPTS = {".py": PYTHON, ".lua": LUA, ".sh": SHELL}

#: types of options that stand alone
_FLAGS = (bool, bool | None)

app = App(name="run")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """What the process is told."""

    timeout: Annotated[str | None, Parameter(help="It is ended after this time, e.g. 30s.")] = None
    stdin: Annotated[bool, Parameter(help="Read standard input to its end first, and pass it on.")] = False
    script: Annotated[Path | None, Parameter(help="Run this script (.py, .lua or .sh), found here and sent.")] = None
    user: Annotated[str, Parameter(help="As this user of the node.")] = ""
    cwd: Annotated[str, Parameter(help="In this folder of the node.")] = ""
    env: Annotated[tuple[str, ...], Parameter(help="With this variable: NAME=VALUE. Repeatable.")] = ()
    memory: Annotated[str | None, Parameter(help="All its processes together may use this much, e.g. 512M.")] = None
    cpus: Annotated[float | None, Parameter(help="And this much of CPUs: 0.5 is half of one.")] = None
    pids: Annotated[int | None, Parameter(help="And be so many, threads counted.")] = None
    queue: Annotated[str, Parameter(help="One at a time with the others of this queue on a node.")] = ""
    name: Annotated[str, Parameter(help="What its messages and stats are filed under; a script: its file's name.")] = ""

    def settings(self) -> dict[str, Any]:
        """As arguments of a command; what was not said is left out."""
        said = {
            "max_time": None if self.timeout is None else parse_duration(self.timeout),
            "workingdir": self.cwd,
            "env": dict(key_value(text, "a variable") for text in self.env),
            "user": self.user,
            "memory": None if self.memory is None else parse_size(self.memory),
            "cpus": self.cpus,
            "pids": self.pids,
            "queue": self.queue,
            "name": self.name,
        }
        return {name: value for name, value in said.items() if value not in (None, "", {})}


@app.default
def run(
    *program: Annotated[str, Parameter(name="PROGRAM", help="The program and its arguments; no shell is between.")],
    where: Where = Where(),
    how: How = How(),
    id: Id = "",
    prefix: Prefix = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Run a program on nodes and print what it prints: qd run --on role=web -- uptime -p

    Options of `qd` stand before the program. The exit code is 0 only if it is OK on every node; of one node it is the
    program's own. Ctrl-C ends it on all nodes (130); with --detach nobody waits for it.
    """
    cmd, args = command(program, how)
    data = _standard_input() if how.stdin else ""
    expires_s = where.expires_s
    with connect() as client:
        chosen = where.chosen(client)
        made = client.create_command(
            CreateCommand(cmd=cmd, args=args, data=data, id=id, selector=chosen, any=where.any, expires_s=expires_s)
        )
        if not detach:
            results.follow(client, made, View(states=False, prefix=prefix, ends=True, json=json))
            return
    results.print_accepted(made, json=json)


def command(program: Sequence[str], how: How) -> tuple[str, dict[str, Any]]:
    """The command's name and arguments."""
    settings = how.settings()
    if how.script is not None:
        cmd = _SCRIPTS.get(how.script.suffix)
        if cmd is None:
            raise BadInput(
                f"'{how.script.name}' is none of the scripts that nodes run.", hint="They end in .py, .lua or .sh."
            )
        return cmd, {"script": _source(how.script), "args": list(program), "name": how.script.stem, **settings}
    if not program:
        raise BadInput("Expected a program to run, found none.", hint="As in `qd run --on role=web -- uptime -p`.")
    args = {"cmd": program[0], "args": list(program[1:]), **settings}
    msgspec.convert({name: value for name, value in args.items() if name != "queue"}, ExecuteArguments)
    return "execute", args


def separated(tokens: Sequence[str]) -> list[str]:
    """The command line with `--` before the program of `qd run`: what follows is the program's, options too."""
    if not tokens or tokens[0] != "run":
        return list(tokens)
    arguments = app.assemble_argument_collection()
    taking = {name for argument in arguments for name in argument.names if argument.hint not in _FLAGS}
    place = 1
    while place < len(tokens) and tokens[place].startswith("-") and tokens[place] not in ("-", "--"):
        place += 2 if tokens[place] in taking else 1
    if tokens[place : place + 1] in ([], ["--"]):
        return list(tokens)
    return [*tokens[:place], "--", *tokens[place:]]


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"There is no file '{path}' here.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"'{path}' is not text in UTF-8: {error}.") from error


def _standard_input() -> str:
    read = sys.stdin.buffer.read(COMMAND_LIMIT_BYTES + 1)
    if len(read) > COMMAND_LIMIT_BYTES:
        raise TooLarge(
            f"Standard input is passed on up to {COMMAND_LIMIT_BYTES} bytes; there are more.",
            hint="Send it as a file with `qd file push`, and have the program read that.",
        )
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"Standard input is passed on as text in UTF-8: {error}.", hint="Send other bytes with `qd file push`."
        ) from error
