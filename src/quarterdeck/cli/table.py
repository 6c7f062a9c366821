"""`qd query`, `qd tables`, `qd tail`: SQL over the collected rows."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.markup import escape

from quarterdeck.cli import completers, output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Age, Count, Size
from quarterdeck.cli.formats import Format, ListOptions, StreamOptions, print_names, print_struct
from quarterdeck.cli.leaving import while_read
from quarterdeck.cli.listing import Column, Listing, print_rows
from quarterdeck.cli.terminal import plain
from quarterdeck.cli.text import standard_input
from quarterdeck.client import Client
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput
from quarterdeck.model.queries import Answer, Completeness, QueryFormat, TableInfo, TailRows


class Output(StrEnum):
    """The format of an answer."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    NAME = "name"
    ARROW = "arrow"


def query(
    sql: Annotated[
        str,
        Parameter(help="Such as 'SELECT comm, count() FROM execs GROUP BY comm'; '-' reads it from standard input."),
    ],
    /,
    *,
    output_format: Annotated[
        Output | None,
        Parameter(
            name=["--output", "-o"],
            help="How the answer is printed; name: only the first column, one value a line; arrow: an IPC stream.",
        ),
    ] = None,
    json: Annotated[bool, Parameter(name="--json", help="The same as -o json.")] = False,
    max_rows: Annotated[
        int, Parameter(name=["--max-rows", "-n"], help="Rows after which the answer is cut.", validator=Number(gte=1))
    ] = 10_000,
    timeout: Annotated[str, Parameter(help="How long the query may run.")] = "30s",
) -> None:
    """Ask in SQL (ClickHouse dialect). `qd tables` lists what there is to ask."""
    if json and output_format not in (None, Output.JSON):
        raise BadInput(f"--json and -o {output_format} exclude each other.", hint="Give one of them.")
    chosen = Output.JSON if json else output_format or Output.TABLE
    sql = standard_input() if sql == "-" else sql
    timeout_s = parse_duration(timeout)
    with connect() as client:
        if chosen in {Output.CSV, Output.ARROW}:
            _export(client, sql, QueryFormat(chosen.value), max_rows=max_rows, timeout_s=timeout_s)
            return
        answer = client.queries.run(sql, max_rows=max_rows, timeout_s=timeout_s)
    if chosen in {Output.JSON, Output.YAML}:
        print_struct(answer, Format(chosen.value))
    elif chosen is Output.NAME:
        print_names(_text(row[0]) for row in answer.rows)
    else:
        _print_answer(answer, whole=chosen is Output.WIDE)


def _export(client: Client, sql: str, format: QueryFormat, *, max_rows: int, timeout_s: float) -> None:
    if format is QueryFormat.ARROW and sys.stdout.isatty():
        raise BadInput("Arrow is binary and not for a terminal.", hint="Redirect it: qd query … -o arrow > file")
    body = client.queries.export(sql, format=format, max_rows=max_rows, timeout_s=timeout_s)
    if sys.stdout.isatty():
        sys.stdout.write(plain(body.decode("utf-8", "surrogateescape")))
    else:
        sys.stdout.buffer.write(body)


def _print_answer(answer: Answer, *, whole: bool) -> None:
    print_rows(
        [escape(column.name) for column in answer.columns],
        [[escape(_text(value)) for value in row] for row in answer.rows],
        right=[escape(column.name) for column in answer.columns if _is_number(column.type)],
        whole=whole,
    )
    _print_completeness(answer.completeness)
    output.errors.print(
        f"[dim]{output.counted(len(answer.rows), 'row')} in {answer.elapsed_s:.3f} s, {answer.rows_read:,} read[/]"
    )


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
            output.print_line("  ".join(_text(value) for value in row))
    sys.stdout.flush()


def _print_completeness(completeness: Completeness) -> None:
    if completeness.truncated:
        output.errors.print("[yellow]cut:[/] there are more rows; raise --max-rows or add a LIMIT")
    for lost in completeness.lost:
        output.errors.print(
            f"[yellow]incomplete:[/] {output.counted(lost.rows, 'row')} of {escape(lost.table)} lost on "
            f"{output.counted(lost.nodes, 'node')}: {escape(lost.reason)}"
        )
    if completeness.offline_nodes:
        names = ", ".join(completeness.offline_nodes[:5])
        output.errors.print(f"[yellow]incomplete:[/] not connected now: {escape(names)}")


def _is_number(type_name: str) -> bool:
    return type_name.startswith(("UInt", "Int", "Float", "Decimal"))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)
