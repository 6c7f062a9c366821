"""`qd logs`: what processes printed, on the nodes and forwarded; the last lines, and with --follow those that come.

Each line stands after the name of its node; what is not plain standard output has its time and its level too. Lines go
to standard output, why some may be missing to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.cli.arguments import JsonLines, On, OnGrid, OnNode, connect, selector
from quarterdeck.cli.lines import level_name
from quarterdeck.cli.results import EXIT_INTERRUPTED
from quarterdeck.client import Client
from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import PAGE_MESSAGES, Level, Mark, MessageFilter, NodeMessage
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tables import parse_duration

Lines = Annotated[int, Parameter(name=["--lines", "-n"], help="How many, from the newest.")]
Follow = Annotated[bool, Parameter(name=["--follow", "-f"], help="Then show what comes, until Ctrl-C.")]
Times = Annotated[bool, Parameter(name=["--times", "-t"], help="Show the time and level of every line.")]

LINES = 200
#: messages that one call shows at most; all are in memory, as the newest are found first
LINES_LIMIT = 1_000_000
_RED, _YELLOW, _DIM = b"\x1b[31m", b"\x1b[33m", b"\x1b[2m"
_PLAIN = b"\x1b[0m"
_COLOURS = {Level.WARNING: _YELLOW, Level.OPS_ERROR: _RED, Level.CRITICAL: b"\x1b[1;31m", Level.DEBUG: _DIM}


def logs(
    *,
    job: Annotated[str | None, Parameter(help="Only of this job: a command's id.")] = None,
    service: Annotated[str | None, Parameter(help="Only of this service.")] = None,
    on: On = (),
    node: OnNode = (),
    gid: OnGrid = None,
    domain: Annotated[str | None, Parameter(help="Only of processes of this domain.")] = None,
    name: Annotated[str | None, Parameter(help="Only of processes of this name.")] = None,
    level: Annotated[str, Parameter(help="Only of these levels: 7, 1,2 or 7-9.")] = "*",
    text: Annotated[str, Parameter(help="Only with this in the text.")] = "",
    since: Annotated[str | None, Parameter(help="Only since then: 10m (ago), or 2026-11-21T10:00 (UTC).")] = None,
    until: Annotated[str | None, Parameter(help="Only before then, written in the same ways.")] = None,
    lines: Lines = LINES,
    follow: Follow = False,
    times: Times = False,
    json: JsonLines = False,
) -> None:
    """Show what processes printed, oldest first: what the nodes have, and what was forwarded.

    Of a node that is offline there is only what it forwarded, which standard error then says.
    """
    if follow and until is not None:
        raise BadInput("--follow goes on without end; --until ends.", hint="Give one of them.")
    if service is not None:
        if job is not None:
            raise BadInput("Expected --job or --service, found both.")
        job = f"service/{service}"
    if not 0 <= lines <= LINES_LIMIT:
        raise BadInput(f"--lines is 0 to {LINES_LIMIT}; found {lines}.")
    now_ms = int(time.time() * 1000)
    wanted = MessageFilter(
        job_id=job,
        domain=domain,
        name=name,
        levels=level,
        text=text,
        time_from=None if since is None else _moment(since, now_ms),
        time_to=None if until is None else _moment(until, now_ms),
    )
    printer = Printer(times=times, json=json)
    try:
        with connect() as client:
            _show(client, wanted, selector(on, node, gid), printer, lines=lines, follow=follow)
    except KeyboardInterrupt:
        printer.finish()
        sys.exit(EXIT_INTERRUPTED)
    printer.finish()


def _show(
    client: Client, wanted: MessageFilter, chosen: Selector, printer: Printer, *, lines: int, follow: bool
) -> None:
    found: list[NodeMessage] = []
    cursor, resume = "", ""
    while True:
        limit = max(1, min(PAGE_MESSAGES, lines - len(found)))
        page = client.list_messages(
            msgspec.structs.replace(wanted, limit=limit, newest_first=True), chosen, cursor=cursor
        )
        found += page.messages
        resume = resume or page.resume
        printer.complain(page.problems)
        if page.cursor is None or len(found) >= lines:
            break
        cursor = page.cursor
    printer.print(reversed(found[:lines]))
    if not found and not follow:
        _look_up(client, wanted.job_id)
        output.errors.print("Nothing was printed, or it was forgotten since.")
    if follow:
        later = msgspec.structs.replace(wanted, time_from=None)
        for page in client.follow_messages(later, chosen, resume=resume):
            printer.complain(page.problems)
            printer.print(page.messages)


def _look_up(client: Client, job_id: str | None) -> None:
    """`NotFound`, with what it may have been meant for, when nothing is there of that name."""
    if job_id is None:
        return
    kind, _, service = job_id.partition("/")
    if kind == "service" and service:
        client.show_service(service)
    else:
        client.show_command(job_id)


class Printer:
    """Prints messages. A line whose end has not come is gone on with when the next is of the same stream."""

    def __init__(self, *, times: bool, json: bool) -> None:
        self._times = times
        self._json = json
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._open: tuple[object, ...] | None = None
        self._said: set[str] = set()

    def print(self, messages: Iterable[NodeMessage]) -> None:
        """These, in their order."""
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

    def finish(self) -> None:
        """End a line whose end has not come."""
        if self._open is not None:
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
            self._open = None

    def _as_json(self, message: NodeMessage) -> bytes:
        return msgspec.json.encode(message) + b"\n"

    def _as_line(self, message: NodeMessage) -> bytes:
        who = (message.gid, message.nid, message.job_id, message.domain, message.name, message.level)
        begin = self._begin(message)
        text = message.raw or message.data.encode("utf-8", "surrogateescape")
        end = b"" if message.marks & Mark.CONTINUES else b"\n"
        goes_on, ends = self._open == who, b"\n" if self._open is not None else b""
        self._open = None if end else who
        colour = _COLOURS.get(Level(message.level)) if self._coloured and message.level in _COLOURS else None
        lines = [colour + line + _PLAIN if colour else line for line in text.split(b"\n")]
        return (b"" if goes_on else ends + begin) + (b"\n" + begin).join(lines) + end

    def _begin(self, message: NodeMessage) -> bytes:
        """What stands in front of a line."""
        node = f"{message.node} |".encode("utf-8", "surrogateescape")
        begin = _DIM + node + _PLAIN if self._coloured else node
        if message.level == Level.STDOUT and not self._times:
            return begin + b" "
        return begin + f" {_time(message.epoch)} {level_name(message.level)}: ".encode()


def _time(epoch_ms: int) -> str:
    """As UTC text; a clock can have said anything."""
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{epoch_ms} ms"


def _moment(written: str, now_ms: int) -> int:
    """Milliseconds since the epoch, from how long ago or from a date and time in UTC."""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        try:
            return now_ms - int(parse_duration(written) * 1000)
        except BadInput as error:
            hint = "Write how long ago (10m, 2h, 3d), or a date and time in UTC (2026-11-21T10:00)."
            raise BadInput(f"'{written}' is no time.", hint=hint) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
