"""The output of `qd`: its consoles, JSON, ages and sizes in words, errors without a traceback.

Printed text is markup: foreign text is inserted with `escape` or `cell`. The consoles themselves escape the control
characters that would steer a terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from quarterdeck.cli.terminal import are_colours_wanted, plain, plain_json
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.processes import size_in_words

#: columns of a line that no terminal shows: a pipe or a file gets rows unfolded, however long they are
_PIPE_WIDTH = 1 << 24
#: units of a time span, in seconds
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class _Console(Console):
    """A console that escapes control characters on a terminal; elsewhere it writes the text unchanged."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text) if self.file.isatty() else text, **options)


_COLOURS = "auto" if are_colours_wanted() else None
console = _Console(
    highlight=False, emoji=False, color_system=_COLOURS, width=None if sys.stdout.isatty() else _PIPE_WIDTH
)
errors = _Console(stderr=True, highlight=False, emoji=False, color_system=_COLOURS)
#: for pages of help, which are folded in a pipe too
pages = Console(color_system=_COLOURS)

_STATE_STYLES = {
    "ONLINE": "green",
    "SUCCEEDED": "green",
    "DEPLOYED": "green",
    "OFFLINE": "yellow",
    "INIT": "yellow",
    "IN_PROGRESS": "yellow",
    "FAILED": "red",
    "TERMINATED": "red",
    "QUEUED": "yellow",
    "ACCEPTED": "yellow",
    "RUNNING": "green",
    "OK": "green",
    "ERROR": "red",
    "TIMEOUT": "red",
    "KILLED": "red",
    "UNKNOWN_CMD": "red",
    "REFUSED": "red",
    "EXPIRED": "red",
    "LOST": "red",
    "WAITING": "yellow",
    "STARTING": "yellow",
    "UNHEALTHY": "red",
    "BACKOFF": "red",
    "STOPPING": "yellow",
}


def cell(value: object) -> str:
    """Return a value as a cell of a table."""
    text = "" if value is None else str(value)
    style = _STATE_STYLES.get(text)
    return f"[{style}]{text}[/]" if style else escape(text)


def details(pairs: Iterable[tuple[str, object]]) -> None:
    """Prints name and value, one pair a line; a value that is empty is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None, (), [], {}):
            table.add_row(name, cell(value))
    print_table(table)


def print_table(table: Table) -> None:
    """Prints it without the blanks that fill up the last column, where colours do not hide them."""
    wide = console.options.update_width(_PIPE_WIDTH)
    needed = Measurement.get(console, wide, table)
    options = console.options if needed.minimum <= console.width else wide
    with console.capture() as captured:
        console.print(Segments(console.render(table, options)), soft_wrap=True, end="")
    text = captured.get()
    console.file.write("".join(f"{line.rstrip(' ')}\n" for line in text.split("\n")[:-1]))
    console.file.flush()  # before what standard error says of it


def print_json(value: object) -> None:
    """Prints any struct, or list of them, as indented JSON."""
    _write_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_lines(values: Iterable[object]) -> None:
    """Prints each value as one line of JSON."""
    _write_json("".join(msgspec.json.encode(value).decode() + "\n" for value in values))
    sys.stdout.flush()


def print_line(text: str) -> None:
    """Print one line of foreign text without markup; on a terminal, control characters are escaped."""
    sys.stdout.write((plain(text, one_line=True) if sys.stdout.isatty() else text) + "\n")


def _write_json(text: str) -> None:
    sys.stdout.write(plain_json(text) if sys.stdout.isatty() else text)


def print_error(error: QuarterdeckError) -> None:
    """Print an error: what was found, the lines of the tool, and what to do."""
    errors.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    for line in error.lines:
        errors.print(f"  {escape(line)}", soft_wrap=True)
    if error.hint:
        errors.print(f"[bold]hint:[/] {escape(error.hint)}", soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """ "1 node", "1,204 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def age(timestamp: float | None) -> str:
    """Return the time since a moment, e.g. "5s", "3m20s", "3h12m", "4d"."""
    return elapsed(max(0.0, time.time() - timestamp)) if timestamp else "never"


def left(timestamp: float) -> str:
    """Return the time until a moment, e.g. "in 3h12m", or "expired"."""
    seconds = timestamp - time.time()
    return f"in {elapsed(seconds)}" if seconds > 0 else "expired"


def elapsed(seconds: float) -> str:
    """Return a time span in its two largest units without zeros, e.g. "5s", "3m20s", "3h12m", "4d2h"."""
    whole = int(seconds)
    for (size, unit), (smaller, next_unit) in pairwise(_UNITS):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{next_unit}" if rest else "")
    return f"{whole}s"


def took(milliseconds: float) -> str:
    """Return a duration, e.g. "7 ms", "3.2 s", "3h12m"."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else elapsed(milliseconds / 1000)


def duration(seconds: float) -> str:
    """Return a period as people write it, and as `parse_duration` reads it: "1.5s", "90s", "1h30m", "3d"."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:g}s"
    parts: list[str] = []
    for size, unit in _UNITS:
        count, seconds = divmod(int(seconds), size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts)


def moment(timestamp: float | None, *, utc: bool) -> str:
    """Return a time as text, in the time zone of the terminal unless `utc`; or nothing."""
    if timestamp is None:
        return ""
    at = datetime.fromtimestamp(timestamp, UTC)
    return (at if utc else at.astimezone()).strftime("%Y-%m-%d %H:%M:%S %Z")


def size(count: float) -> str:
    """Bytes in words, e.g. "1.4 MiB"."""
    return size_in_words(count)


def pairs(mapping: dict[str, Any]) -> str:
    """Return a mapping as "a=1 b=2"."""
    return " ".join(f"{key}={value}" for key, value in sorted(mapping.items()))
