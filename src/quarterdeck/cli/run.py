"""`qd run`: a program or a script on nodes, with its output, as if it ran here.

This module only builds the command: `execute`, or one of those that run scripts. `results.py` follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import asking, results
from quarterdeck.cli.arguments import connect, key_value
from quarterdeck.cli.command import Detach, Id, Prefix
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.progress import Progress
from quarterdeck.cli.results import View
from quarterdeck.cli.selection import Where
from quarterdeck.cli.standard_input import give
from quarterdeck.cli.text import unreadable
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.processes import ExecuteArguments, parse_size
from quarterdeck.model.scripts import LUA, PYTHON, SHELL

#: what runs a script, by how its name ends
_SCRIPTS = {".py": PYTHON, ".lua": LUA, ".sh": SHELL}

#: types of options that stand alone
_FLAGS = (bool, bool | None)

app = App(name="run")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ProcessOptions:
    """The settings of the process."""

    timeout: Annotated[str | None, Parameter(help="It is ended after this time, e.g. 30s.")] = None
    stdin: Annotated[
        bool | None,
        Parameter(
            negative="--no-stdin",
            help="Read standard input to its end first, and pass it on, whatever its size; by default if it is a file,"
            " or a pipe that has data. What is long is kept in $TMPDIR, else /var/tmp, until it is sent. Use --no-stdin"
            " in a loop that reads standard input itself.",
        ),
    ] = None
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
        """Return the settings as arguments of a command, without those that were not given."""
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
    options: ProcessOptions = ProcessOptions(),
    id: Id = "",
    prefix: Prefix = None,
    detach: Detach = False,
    how: OutputOptions = OutputOptions(),
) -> None:
    """Run a program on nodes and print what it prints: qd run --on role=web -- uptime -p

    Options of `qd` stand before the program. The exit code is 0 only if it is OK on every node; of one node it is the
    program's own. Ctrl-C ends it on all nodes (130); with --detach nobody waits for it. A server that does not answer
    is tried again for 60 s; then `qd` ends with the exit code 69, and the program goes on.
    """
    cmd, args = command(program, options)
    expires_s = where.expires_s
    with connect() as client:
        chosen = where.chosen(client)
        data, sha256 = give(client, wanted=options.stdin, progress=Progress(wanted=how.is_table))
        if sha256:
            args["stdin_sha256"] = sha256
        request = CreateCommand(
            cmd=cmd, args=args, data=data, id=id, selector=chosen, any=where.any, expires_s=expires_s
        )
        if detach:
            results.print_accepted(client.commands.create(request), how)
        else:
            asking.ask_and_follow(client, request, View(states=False, prefix=prefix, ends=True, how=how))


def command(program: Sequence[str], options: ProcessOptions) -> tuple[str, dict[str, Any]]:
    """Return the command's name and arguments."""
    settings = options.settings()
    if options.script is not None:
        cmd = _SCRIPTS.get(options.script.suffix)
        if cmd is None:
            raise BadInput(
                f"'{options.script.name}' is none of the scripts that nodes run.", hint="They end in .py, .lua or .sh."
            )
        return cmd, {"script": _source(options.script), "args": list(program), "name": options.script.stem, **settings}
    if not program:
        raise BadInput("Expected a program to run, found none.", hint="As in `qd run --on role=web -- uptime -p`.")
    args = {"cmd": program[0], "args": list(program[1:]), **settings}
    msgspec.convert({name: value for name, value in args.items() if name != "queue"}, ExecuteArguments)
    return "execute", args


def separated(tokens: Sequence[str]) -> list[str]:
    """Return the command line with `--` before the program of `qd run`: what follows is the program's, options too."""
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
        return path.read_bytes().decode()  # keeps its line ends
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"'{path}' is not text in UTF-8: {error}.") from error
