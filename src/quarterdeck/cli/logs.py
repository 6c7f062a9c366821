"""`qd logs`: the output of processes, on the nodes and forwarded; the last lines, and with --follow new ones.

Each line follows its node and its service or job; lines other than plain standard output also have a time and a level.
Lines go to standard output; the reasons why some may be missing go to standard error.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.markup import escape

from quarterdeck.cli import completers, output
from quarterdeck.cli.arguments import LevelsGiven, Since, connect, levels, moment, print_absence
from quarterdeck.cli.formats import StreamOptions
from quarterdeck.cli.leaving import while_read
from quarterdeck.cli.lines import level_name
from quarterdeck.cli.selection import Nodes
from quarterdeck.cli.terminal import ProgramOutput, is_coloured, plain, plain_json
from quarterdeck.client import Client
from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import PAGE_MESSAGES, Level, Mark, MessageFilter, NodeMessage
from quarterdeck.model.nodes import Selector

Follow = Annotated[bool, Parameter(name=["--follow", "-f"], help="Then show what comes, until Ctrl-C.")]
Times = Annotated[bool, Parameter(name=["--times", "-t"], help="Show the time and level of every line.")]

LINES = 200
#: messages that one call shows at most; all are in memory, as the newest are found first
LINES_LIMIT = 1_000_000
Lines = Annotated[
    int,
    Parameter(name=["--lines", "-n"], help="How many, from the newest.", validator=Number(gte=0, lte=LINES_LIMIT)),
]
_RED, _YELLOW, _DIM = b"\x1b[31m", b"\x1b[33m", b"\x1b[2m"
_PLAIN = b"\x1b[0m"
_COLOURS = {Level.WARNING: _YELLOW, Level.OPS_ERROR: _RED, Level.CRITICAL: b"\x1b[1;31m", Level.DEBUG: _DIM}


def logs(
    *,
    job: Annotated[
        str | None, Parameter(help="Only of this job: a command's id.", completer=completers.commands)
    ] = None,
    service: Annotated[str | None, Parameter(help="Only of this service.", completer=completers.services)] = None,
    nodes: Nodes = Nodes(),
    domain: Annotated[str | None, Parameter(help="Only of processes of this domain.")] = None,
    name: Annotated[str | None, Parameter(help="Only of processes of this name.")] = None,
    level: LevelsGiven = "*",
    text: Annotated[str, Parameter(help="Only with this in the text.")] = "",
    since: Since = None,
    until: Annotated[str | None, Parameter(help="Only before then, written in the same ways.")] = None,
    lines: Lines = LINES,
    follow: Follow = False,
    times: Times = False,
    how: StreamOptions = StreamOptions(),
) -> None:
    """Show what processes printed, oldest first: what the nodes have, and what was forwarded.

    Of a node that is offline there is only what it forwarded, which standard error then says. With --follow, a server
    that does not answer is tried again for 60 s; then `qd` ends with the exit code 69.
    """
    if follow and until is not None:
        raise BadInput("--follow goes on without end; --until ends.", hint="Give one of them.")
    if service is not None:
        if job is not None:
            raise BadInput("Expected --job or --service, found both.")
        job = f"service/{service}"
    wanted = MessageFilter(
        job_id=job,
        domain=domain,
        name=name,
        levels=levels(level),
        text=text,
        time_from=None if since is None else _milliseconds(since, how),
        time_to=None if until is None else _milliseconds(until, how),
    )
    printer = Printer(times=times, json=how.is_json, utc=how.utc)
    try:
        with connect() as client, while_read():
            _show(client, wanted, nodes.selector, printer, lines=lines, follow=follow)
    finally:
        printer.finish()


def _show(
    client: Client, wanted: MessageFilter, chosen: Selector, printer: Printer, *, lines: int, follow: bool
) -> None:
    found: list[NodeMessage] = []
    cursor, resume = "", ""
    while True:
        limit = max(1, min(PAGE_MESSAGES, lines - len(found)))
        page = client.messages.list(
            msgspec.structs.replace(wanted, limit=limit, newest_first=True), chosen, cursor=cursor
        )
        found += page.messages
        resume = resume or page.resume
        printer.complain(page.problems)
        if page.cursor is None or len(found) >= lines:
            break
        cursor = page.cursor
    printer.print(reversed(found[:lines]))
    if not found:
        _look_up(client, wanted.job_id)
    if not found and not follow:
        output.errors.print("Nothing was printed, or it was forgotten since.")
    if follow:
        client.absent = printer.print_absence
        later = msgspec.structs.replace(wanted, time_from=None)
        for page in client.messages.follow(later, chosen, resume=resume):
            printer.complain(page.problems)
            printer.print(page.messages)


def _look_up(client: Client, job_id: str | None) -> None:
    """`NotFound`, with what it may have been meant for, when nothing is there of that name."""
    if job_id is None:
        return
    kind, _, service = job_id.partition("/")
    if kind == "service" and service:
        client.services.get(service)
    else:
        client.commands.get(job_id)


class Printer:
    """Prints messages. An unfinished line is continued when the next message is of the same stream."""

    def __init__(self, *, times: bool, json: bool, utc: bool = False) -> None:
        self._times = times
        self._utc = utc
        self._json = json
        self._terminal = sys.stdout.isatty()
        self._coloured = is_coloured(sys.stdout)
        self._outputs = defaultdict[object, ProgramOutput](lambda: ProgramOutput(rewrites=False))
        self._open: tuple[object, ...] | None = None
        self._said: set[str] = set()

    def print(self, messages: Iterable[NodeMessage]) -> None:
        """Print messages in their order."""
        for message in messages:
            sys.stdout.buffer.write(self._as_json(message) if self._json else self._as_line(message))
        sys.stdout.buffer.flush()

    def complain(self, problems: Iterable[str]) -> None:
        """Why messages may be missing, each once."""
        for problem in problems:
            if problem not in self._said:
                self.finish()
                output.errors.print(f"[yellow]incomplete:[/] {escape(problem)}", soft_wrap=True)
            self._said.add(problem)

    def print_absence(self, seconds: float) -> None:
        """Print that the server does not answer."""
        self.finish()
        print_absence(seconds)

    def finish(self) -> None:
        """End a line whose end has not come."""
        if self._open is not None:
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
            self._open = None

    def _as_json(self, message: NodeMessage) -> bytes:
        encoded = msgspec.json.encode(message) + b"\n"
        return plain_json(encoded.decode()).encode() if self._terminal else encoded

    def _as_line(self, message: NodeMessage) -> bytes:
        who = (message.gid, message.nid, message.job_id, message.domain, message.name, message.level)
        begin = self._begin(message)
        text = message.raw or message.data.encode("utf-8", "surrogateescape")
        end = b"" if message.marks & Mark.CONTINUES else b"\n"
        if self._terminal:
            text = self._outputs[who].piece(text, begin=begin, ends=bool(end))
        goes_on, ends = self._open == who, b"\n" if self._open is not None else b""
        self._open = None if end else who
        colour = _COLOURS.get(Level(message.level)) if self._coloured and message.level in _COLOURS else None
        lines = [colour + line + _PLAIN if colour else line for line in text.split(b"\n")]
        return (b"" if goes_on else ends + begin) + (b"\n" + begin).join(lines) + end

    def _begin(self, message: NodeMessage) -> bytes:
        """Return the prefix of a line."""
        whose = f"{message.node} {message.job_id}" if message.job_id else message.node
        node = f"{plain(whose) if self._terminal else whose} |".encode("utf-8", "surrogateescape")
        begin = _DIM + node + _PLAIN if self._coloured else node
        if message.level == Level.STDOUT and not self._times:
            return begin + b" "
        return begin + f" {_time(message.epoch, utc=self._utc)} {level_name(message.level)}: ".encode()


def _time(epoch_ms: int, *, utc: bool) -> str:
    """Return a time as text, in the time zone of the terminal unless `utc`; a clock can have said anything."""
    try:
        at = datetime.fromtimestamp(epoch_ms / 1000, UTC)
        return (at if utc else at.astimezone()).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{epoch_ms} ms"


def _milliseconds(written: str, how: StreamOptions) -> int:
    return int(moment(written, utc=how.utc) * 1000)
