"""`qd tables`, `qd tail`: the tables and their newest rows."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from quarterdeck.cli import completers, output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Age, Count, Size
from quarterdeck.cli.formats import ListOptions, StreamOptions
from quarterdeck.cli.leaving import while_read
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.cli.query import value_text
from quarterdeck.model.queries import TableInfo, TailRows

TABLES = Listing[TableInfo](
    columns=(
        Column("table", lambda t: t.table.name),
        Column("rows", lambda t: Count(t.rows)),
        Column("size", lambda t: Size(t.bytes), rank=1),
        Column("newest", lambda t: Age(t.newest)),
        Column("oldest", lambda t: Age(t.oldest), rank=3),
        Column("kept", lambda t: f"{t.table.retention_s / 86400:g}d" if t.table.retention_s else "for ever", rank=2),
        Column("module", lambda t: t.table.module, rank=4),
        Column("columns", lambda t: len(t.table.columns), wide=True),
        Column("description", lambda t: t.table.description, rank=5),
    ),
    name=lambda t: t.table.name,
    empty="No tables yet.",
)


def tables(*, how: ListOptions = ListOptions()) -> None:
    """List the tables: what fills them, how much is in them."""
    with connect() as client:
        TABLES.print(client.tables.list, how)


def tail(
    table: Annotated[str, Parameter(help="Its name; see `qd tables`.", completer=completers.tables)],
    /,
    *,
    where: Annotated[str, Parameter(help="Only rows for which this SQL expression holds.")] = "",
    how: StreamOptions = StreamOptions(),
) -> None:
    """Show a table's rows as they are stored, until interrupted.

    A server that does not answer is tried again for 60 s; then `qd` ends with the exit code 69.
    """
    with connect() as client, while_read():
        header: tuple[str, ...] = ()
        for rows in client.tables.tail(table, where=where):
            names = tuple(column.name for column in rows.columns)
            if not how.is_json and names != header:
                header = names
                output.console.print(f"[bold]{escape('  '.join(header))}[/]", soft_wrap=True)
            _print_rows(rows, names, json=how.is_json)


def _print_rows(rows: TailRows, names: tuple[str, ...], *, json: bool) -> None:
    for row in rows.rows:
        if json:
            output.print_lines([dict(zip(names, row, strict=True))])
        else:
            output.print_line("  ".join(value_text(value) for value in row))
    sys.stdout.flush()
