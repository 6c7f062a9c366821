"""`qd query`, `qd tables`, `qd tail`: SQL over what was collected."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json, JsonLines, connect
from quarterdeck.model.errors import BadInput
from quarterdeck.model.queries import Completeness, QueryFormat, TailRows
from quarterdeck.model.tables import parse_duration


class Output(StrEnum):
    """How `qd query` prints an answer."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


def query(
    sql: Annotated[
        str,
        Parameter(
            help="Such as 'SELECT comm, count() FROM execs GROUP BY comm'; '-' reads it from standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    output_format: Annotated[Output, Parameter(name=["--output", "-o"], help="How the answer is printed.")] = (
        Output.TABLE
    ),
    max_rows: Annotated[int, Parameter(help="Rows after which the answer is cut.")] = 10_000,
    timeout: Annotated[str, Parameter(help="How long the query may run.")] = "30s",
) -> None:
    """Ask in SQL (ClickHouse dialect). `qd tables` lists what there is to ask."""
    sql = sys.stdin.read() if sql == "-" else sql
    timeout_s = parse_duration(timeout)
    with connect() as client:
        if output_format in {Output.CSV, Output.ARROW}:
            if output_format is Output.ARROW and sys.stdout.isatty():
                raise BadInput(
                    "Arrow is binary and not for a terminal.", hint="Redirect it: qd query … -o arrow > file"
                )
            body = client.query_bytes(
                sql, format=QueryFormat(output_format.value), max_rows=max_rows, timeout_s=timeout_s
            )
            sys.stdout.buffer.write(body)
            return
        answer = client.query(sql, max_rows=max_rows, timeout_s=timeout_s)
    if output_format is Output.JSON:
        output.print_json(answer)
        return
    output.print_rows(
        [escape(column.name) for column in answer.columns],
        [[escape(_text(value)) for value in row] for row in answer.rows],
        right=[escape(column.name) for column in answer.columns if _is_number(column.type)],
    )
    _print_completeness(answer.completeness)
    rows = output.counted(len(answer.rows), "row")
    output.errors.print(f"[dim]{rows} in {answer.elapsed_s:.3f} s, {answer.rows_read:,} read[/]")


def tables(*, json: Json = False) -> None:
    """List the tables: what fills them, how much is in them."""
    with connect() as client:
        found = client.list_tables()
    output.show(
        found,
        {
            "table": lambda t: t.table.name,
            "rows": lambda t: f"{t.rows:,}",
            "size": lambda t: output.size(t.bytes),
            "newest": lambda t: output.age(t.newest),
            "oldest": lambda t: output.age(t.oldest),
            "kept": lambda t: f"{t.table.retention_s / 86400:g}d" if t.table.retention_s else "for ever",
            "module": lambda t: t.table.module,
            "description": lambda t: t.table.description,
        },
        json=json,
        empty="No tables yet.",
    )


def tail(
    table: Annotated[str, Parameter(help="Its name; see `qd tables`.")],
    /,
    *,
    where: Annotated[str, Parameter(help="Only rows for which this SQL expression holds.")] = "",
    json: JsonLines = False,
) -> None:
    """Show a table's rows as they are stored, until interrupted."""
    with connect() as client:
        header: tuple[str, ...] = ()
        for rows in client.tail(table, where=where):
            names = tuple(column.name for column in rows.columns)
            if not json and names != header:
                header = names
                output.console.print("[bold]" + "  ".join(header) + "[/]", soft_wrap=True)
            _print_rows(rows, names, json=json)


def _print_rows(rows: TailRows, names: tuple[str, ...], *, json: bool) -> None:
    for row in rows.rows:
        if json:
            line = msgspec.json.encode(dict(zip(names, row, strict=True))).decode()
        else:
            line = "  ".join(_text(value) for value in row)
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _print_completeness(completeness: Completeness) -> None:
    if completeness.truncated:
        output.errors.print("[yellow]cut:[/] there are more rows; raise --max-rows or add a LIMIT")
    for lost in completeness.lost:
        output.errors.print(
            f"[yellow]incomplete:[/] {output.counted(lost.rows, 'row')} of {lost.table} lost on "
            f"{output.counted(lost.nodes, 'node')}: {lost.reason}"
        )
    if completeness.offline_nodes:
        names = ", ".join(completeness.offline_nodes[:5])
        output.errors.print(f"[yellow]incomplete:[/] not connected now: {names}")


def _is_number(type_name: str) -> bool:
    return type_name.startswith(("UInt", "Int", "Float", "Decimal"))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)
