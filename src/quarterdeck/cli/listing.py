"""Lists and details in every format. A noun declares its columns once; `-o` selects how they are printed.

On a terminal a table has the columns that fit: the least important ones give way first, and standard error names them.
In a pipe, and with `-o wide`, nothing is left out or shortened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.markup import escape
from rich.table import Table

from quarterdeck.cli import output
from quarterdeck.cli.cells import Long, exact, words
from quarterdeck.cli.formats import Format, ListOptions, OutputOptions, print_csv, print_names, print_struct

T = TypeVar("T")
#: characters that a column of several words keeps at least, and that a shortened text has at most
_FOLDED, _SHORT = 20, 60


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column: its heading, and the function that reads an item's cell."""

    heading: str
    read: Callable[[T], object]
    wide: bool = False  #: only with -o wide, and in CSV
    only_filled: bool = False  #: left out of a table when no item has a text there
    rank: int = 0  #: on a narrow terminal the highest gives way first; those of rank 0 stay


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[T]):
    """The columns of a list of one noun."""

    columns: tuple[Column[T], ...]
    name: Callable[[T], str]  #: by which other verbs take an item
    empty: str  #: what is said when there is no item
    struct: Callable[[T], object] = lambda item: item  #: what JSON and YAML hold of an item

    def print(self, find: Callable[[], Sequence[T]], how: OutputOptions) -> None:
        """Print the items that `find` returns; with --watch again and again."""
        if isinstance(how, ListOptions):
            how.draw(find, lambda items: self.print_items(items, how))
        else:
            self.print_items(find(), how)

    def print_items(self, items: Sequence[T], how: OutputOptions) -> None:
        """Print these items."""
        match how.format:
            case Format.JSON | Format.YAML:
                print_struct([self.struct(item) for item in items], how.format)
            case Format.NAME:
                print_names(self.name(item) for item in items)
            case Format.CSV:
                headings = [column.heading.replace(" ", "_") for column in self.columns]
                print_csv(headings, ([exact(column.read(item)) for column in self.columns] for item in items))
            case Format.TABLE | Format.WIDE if items:
                self._print_table(items, wide=how.format is Format.WIDE, utc=how.utc)
            case _:
                output.errors.print(self.empty)

    def _print_table(self, items: Sequence[T], *, wide: bool, utc: bool) -> None:
        columns = [
            column
            for column in self.columns
            if (wide or not column.wide)
            and not (column.only_filled and not any(exact(column.read(item)) for item in items))
        ]
        wanted = [column.heading for column in columns]
        cut = output.console.is_terminal and not wide
        rows = [[_cell(column.read(item), utc=utc, cut=cut) for column in columns] for item in items]
        while cut and not _fits(columns, rows) and (least := max(columns, key=lambda c: c.rank)).rank:
            place = len(columns) - 1 - [column.rank for column in reversed(columns)].index(least.rank)
            columns.pop(place)
            for row in rows:
                row.pop(place)
        print_rows([column.heading.upper() for column in columns], rows, whole=wide)
        kept = {column.heading for column in columns}
        if gone := [heading for heading in wanted if heading not in kept]:
            output.errors.print(f"[dim]not shown: {escape(', '.join(gone))} (-o wide)[/]", soft_wrap=True)


def print_details(
    item: object,
    pairs: Callable[[], Iterable[tuple[str, object]]],
    how: OutputOptions,
    *,
    name: str,
    more: Callable[[], None] = lambda: None,
) -> None:
    """Print one item: names and values for people, then what `more` prints; else as its format has it."""
    match how.format:
        case Format.JSON | Format.YAML:
            print_struct(item, how.format)
        case Format.NAME:
            print_names([name])
        case Format.CSV:
            found = [(key, exact(value)) for key, value in pairs()]
            print_csv([key.replace(" ", "_") for key, _ in found], [[value for _, value in found]])
        case Format.TABLE | Format.WIDE:
            output.details((key, words(value, utc=how.utc)) for key, value in pairs())
            more()


def print_rows(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (), whole: bool = False
) -> None:
    """Print a table of cells with markup; `right`: headings of the columns that end where they end.

    On a narrow terminal only cells of several words are folded; with `whole` none. Where that is not enough each row is
    one line, as in a pipe, and the terminal breaks it: an id in pieces could not be copied.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, heading in enumerate(headings):
        widest, folds = _width(heading, [row[place] for row in rows])
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            overflow="fold",
            no_wrap=whole or not folds,
            min_width=min(widest, _FOLDED) if folds and not whole else widest,
        )
    for row in rows:
        table.add_row(*row)
    output.print_table(table)


def _fits(columns: Sequence[Column[T]], rows: Sequence[Sequence[str]]) -> bool:
    total = 2 * (len(columns) - 1)
    for place, column in enumerate(columns):
        widest, folds = _width(column.heading, [row[place] for row in rows])
        total += min(widest, _FOLDED) if folds else widest
    return total <= output.console.width


def _width(heading: str, texts: Sequence[str]) -> tuple[int, bool]:
    """Return how wide a column's widest cell is, and whether its cells may be folded: they have several words."""
    widest = max(output.console.render_str(text).cell_len for text in (heading, *texts))
    return widest, any(" " in text for text in texts)


def _cell(value: object, *, utc: bool, cut: bool) -> str:
    text = words(value, utc=utc)
    if cut and isinstance(value, Long) and len(text) > _SHORT:
        text = f"{text[: _SHORT - 1]}…"
    return output.cell(text)
