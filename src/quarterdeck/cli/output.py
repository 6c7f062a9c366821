"""How `qd` prints: tables for people, JSON for programs; ages and sizes in words; errors without a trace."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.moments import utc

#: columns of a line that no person looks at: a pipe or a file gets rows unfolded
_PIPE_WIDTH = 4096
#: characters of what is shortened; columns that a cell of several words has at least
_SHORT, _FOLDED = 60, 20
console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
errors = Console(stderr=True, highlight=False)

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


def show(items: Sequence[Any], columns: dict[str, Callable[[Any], object]], *, json: bool, empty: str) -> None:
    """Prints structs as a table with these columns, or all of each as JSON."""
    if json:
        print_json(items)
        return
    if not items:
        errors.print(empty)
        return
    rows = [[cell(read(item)) for read in columns.values()] for item in items]
    print_rows([name.upper() for name in columns], rows)


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """Prints a table of cells with markup; `right`: headings of the columns that end where they end.

    On a narrow terminal only cells of several words are folded. Where that is not enough each row is one line, as in a
    pipe, and the terminal breaks it: an id in pieces could not be copied.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, heading in enumerate(headings):
        words = any(" " in row[place] for row in rows)
        widest = max(Text.from_markup(text).cell_len for text in (heading, *(row[place] for row in rows)))
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            overflow="fold",
            no_wrap=not words,
            min_width=min(widest, _FOLDED) if words else widest,
        )
    for row in rows:
        table.add_row(*row)
    print_table(table)


def cell(value: object) -> str:
    """One value as a table shows it."""
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
    shown = console.options if needed.minimum <= console.width else wide
    with console.capture() as captured:
        console.print(Segments(console.render(table, shown)), soft_wrap=True, end="")
    text = captured.get()
    console.file.write("".join(f"{line.rstrip(' ')}\n" for line in text.split("\n")[:-1]))
    console.file.flush()  # before what standard error says of it


def print_json(value: object) -> None:
    """Prints any struct, or list of them, as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_lines(values: Iterable[object]) -> None:
    """Prints each value as one line of JSON."""
    sys.stdout.write("".join(msgspec.json.encode(value).decode() + "\n" for value in values))
    sys.stdout.flush()


def print_error(error: QuarterdeckError) -> None:
    """An error as a person reads it: what was found, the tool's own lines, what to do."""
    errors.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    for line in error.lines:
        errors.print(f"  {escape(line)}", soft_wrap=True)
    if error.hint:
        errors.print(f"[bold]hint:[/] {escape(error.hint)}", soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """ "1 node", "1,204 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def age(timestamp: float | None) -> str:
    """How long ago, e.g. "5s", "3m", "2h", "4d"."""
    if not timestamp:
        return "never"
    seconds = max(0.0, time.time() - timestamp)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def duration(seconds: float) -> str:
    """As people write it: "90s", "1h", "3d"; in the largest unit of which it is a whole number."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def moment(timestamp: float | None) -> str:
    """A time as UTC text, or nothing."""
    return "" if timestamp is None else utc(timestamp)


def shortened(text: str) -> str:
    """One line that leaves a table room for other columns."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"


def size(count: float) -> str:
    """Bytes in words, e.g. "1.4 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def pairs(mapping: dict[str, Any]) -> str:
    """A mapping as "a=1 b=2"."""
    return " ".join(f"{key}={value}" for key, value in sorted(mapping.items()))
