"""The options for the format of output: `-o`, `--json`, `--utc` and `--watch`, the same on every verb.

Owns the writers of JSON, YAML, CSV and names. Each noun declares the columns of its tables (`listing.py`).
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from quarterdeck.cli import output
from quarterdeck.cli.terminal import plain
from quarterdeck.model.errors import BadInput

#: seconds between two redrawings of a watched list
WATCH_S = 2.0
_CLEAR = "\x1b[H\x1b[2J"
T = TypeVar("T")


class Format(StrEnum):
    """The format of a list or of one item."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    NAME = "name"


class StreamFormat(StrEnum):
    """The format of lines that come one by one."""

    TABLE = "table"
    JSON = "json"


Utc = Annotated[bool, Parameter(name="--utc", help="Print times in UTC instead of the terminal's time zone.")]
_Output = Annotated[
    Format | None,
    Parameter(
        name=["--output", "-o"],
        help="How it is printed: a table (wide: with all columns), whole structs as JSON or YAML, CSV, or only the "
        "names that other verbs take, one a line. Default: table.",
    ),
]
_Json = Annotated[bool, Parameter(name="--json", help="The same as -o json.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The format in which items are printed."""

    output: _Output = None
    json: _Json = False
    utc: Utc = False

    @property
    def format(self) -> Format:
        """Return the requested format; raise `BadInput` when --json and -o contradict each other."""
        if not self.json:
            return self.output or Format.TABLE
        if self.output not in (None, Format.JSON):
            raise BadInput(f"--json and -o {self.output} exclude each other.", hint="Give one of them.")
        return Format.JSON

    @property
    def is_table(self) -> bool:
        """Return whether the format is for people."""
        return self.format in (Format.TABLE, Format.WIDE)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """The format in which lines that come one by one are printed."""

    output: Annotated[
        StreamFormat, Parameter(name=["--output", "-o"], help="How it is printed: as text, or one JSON object a line.")
    ] = StreamFormat.TABLE
    json: Annotated[bool, Parameter(name="--json", help="The same as -o json.")] = False
    utc: Utc = False

    @property
    def is_json(self) -> bool:
        """Return whether the format is for programs."""
        return self.json or self.output is StreamFormat.JSON


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ListOptions(OutputOptions):
    """The format in which a list is printed, and whether it is drawn again."""

    watch: Annotated[
        bool, Parameter(name="--watch", help=f"Redraw it every {WATCH_S:g} s on a terminal, until Ctrl-C.")
    ] = False

    def check(self) -> None:
        """Raise `BadInput` if --watch is given where it cannot redraw: with -o or in a pipe."""
        if self.watch and not (sys.stdout.isatty() and self.is_table):
            raise BadInput("--watch redraws a table on a terminal.", hint="Leave it out, or leave out -o and the pipe.")

    def draw(
        self,
        find: Callable[[], Sequence[T]],
        print_items: Callable[[Sequence[T]], None],
        *,
        over: Callable[[Sequence[T]], bool] = lambda _: False,
        interval_s: float = WATCH_S,
    ) -> None:
        """Print what `find` returns once, or with --watch again and again until it is `over`."""
        self.check()
        while True:
            found = find()
            if self.watch:
                sys.stdout.write(_CLEAR)
            print_items(found)
            if not self.watch or over(found):
                return
            time.sleep(interval_s)


def print_struct(value: object, format: Format) -> None:
    """Print a struct, or a list of them, as JSON or YAML."""
    if format is Format.YAML:
        text = msgspec.yaml.encode(value).decode()
        sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
    else:
        output.print_json(value)


def print_csv(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as CSV below a line of headings."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    sys.stdout.write(plain(text.getvalue()) if sys.stdout.isatty() else text.getvalue())


def print_names(names: Iterable[str]) -> None:
    """Print each name once, one a line."""
    for name in dict.fromkeys(names):
        output.print_line(name)
