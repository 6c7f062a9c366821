"""`qd query`: SQL over the collected rows, and queries that are saved under a name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.markup import escape

from quarterdeck.cli import completers, many, output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Age, Long, Moment
from quarterdeck.cli.formats import Format, ListOptions, OutputOptions, print_names, print_struct
from quarterdeck.cli.listing import Column, Listing, print_details, print_rows
from quarterdeck.cli.terminal import plain
from quarterdeck.cli.text import standard_input
from quarterdeck.client import Client
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.queries import Answer, Completeness, QueryFormat
from quarterdeck.model.saved_queries import QueryView, SavedQuery, SaveQuery

app = App(name="query")

Name = Annotated[str, Parameter(help="The name of a saved query.", completer=completers.saved_queries)]
Names = Annotated[str, Parameter(help="Names of saved queries.", completer=completers.saved_queries)]
Sql = Annotated[
    str,
    Parameter(help="Such as 'SELECT comm, count() FROM execs GROUP BY comm'; '-' reads it from standard input."),
]


class Output(StrEnum):
    """The format of an answer."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    NAME = "name"
    ARROW = "arrow"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """The limits of a query, and the format in which its answer is printed."""

    output: Annotated[
        Output | None,
        Parameter(
            name=["--output", "-o"],
            help="How the answer is printed; name: only the first column, one value a line; arrow: an IPC stream.",
        ),
    ] = None
    json: Annotated[bool, Parameter(name="--json", help="The same as -o json.")] = False
    max_rows: Annotated[
        int, Parameter(name=["--max-rows", "-n"], help="Rows after which the answer is cut.", validator=Number(gte=1))
    ] = 10_000
    timeout: Annotated[str, Parameter(help="How long the query may run.")] = "30s"

    @property
    def format(self) -> Output:
        """Return the requested format; raise `BadInput` when --json and -o contradict each other."""
        if self.json and self.output not in (None, Output.JSON):
            raise BadInput(f"--json and -o {self.output} exclude each other.", hint="Give one of them.")
        return Output.JSON if self.json else self.output or Output.TABLE


@app.default
def ask(sql: Sql, /, *, how: AnswerOptions = AnswerOptions()) -> None:
    """Ask in SQL (ClickHouse dialect). `qd tables` lists what there is to ask.

    `qd query save` saves a query under a name, for everybody, and `qd query run` runs it.
    """
    chosen = how.format
    sql = _read(sql)
    with connect() as client:
        _ask(client, sql, how, chosen)


@app.command
def run(name: Name, /, *, how: AnswerOptions = AnswerOptions()) -> None:
    """Run a saved query."""
    chosen = how.format
    with connect() as client:
        _ask(client, client.saved_queries.get(name).sql, how, chosen)


@app.command
def save(
    name: Name,
    sql: Sql,
    /,
    *,
    description: Annotated[str, Parameter(help="What it tells.")] = "",
    view: Annotated[QueryView, Parameter(help="How the web UI shows its answer first.")] = QueryView.TABLE,
    replace: Annotated[bool, Parameter(help="In place of the saved query of this name, if there is one.")] = False,
    how: OutputOptions = OutputOptions(),
) -> None:
    """Save a query under a name, for everybody who may query: qd query save NAME 'SELECT …'

    A name that has another query is refused, unless --replace is given.
    """
    sql = _read(sql)
    with connect() as client:
        request = SaveQuery(
            sql=sql, description=description, view=view, replaces=_version(client, name) if replace else ""
        )
        many.print_each(
            [name], lambda _: client.saved_queries.save(name, request), how, lambda made: _print_saved(made, how)
        )


QUERIES = Listing[SavedQuery](
    columns=(
        Column("query", lambda q: q.name),
        Column("description", lambda q: Long(q.description), only_filled=True, rank=2),
        Column("sql", lambda q: Long(q.sql), rank=1),
        Column("changed", lambda q: Age(q.last_update_time, ago=True), rank=3),
        Column("by", lambda q: q.changed_by, rank=4),
        Column("created by", lambda q: q.actor, wide=True),
        Column("created", lambda q: Moment(q.create_time), wide=True),
    ),
    name=lambda q: q.name,
    empty="No saved queries. Save one with `qd query save NAME 'SELECT …'`.",
)


@app.command(name="ls")
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List the saved queries."""
    with connect() as client:
        QUERIES.print(client.saved_queries.list, how)


@app.command
def show(name: Name, /, *, how: OutputOptions = OutputOptions()) -> None:
    """Show a saved query: its SQL, what it tells, and who changed it."""
    with connect() as client:
        found = client.saved_queries.get(name)
    print_details(found, lambda: _details(found), how, name=found.name)


@app.command
def rm(*names: Names) -> None:
    """Remove saved queries."""
    with connect() as client:
        many.remove(names, client.saved_queries.remove)


def value_text(value: object) -> str:
    """Return a value of a row as text."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


def _read(sql: str) -> str:
    return standard_input() if sql == "-" else sql


def _version(client: Client, name: str) -> str:
    """Return the version of a saved query, or "" when there is none."""
    try:
        return client.saved_queries.get(name).version
    except NotFound:
        return ""


def _print_saved(queries: Sequence[SavedQuery], how: OutputOptions) -> None:
    if not how.is_table:
        QUERIES.print_items(queries, how)
        return
    for query in queries:
        many.say(f"{query.name} is saved.")


def _details(query: SavedQuery) -> Iterator[tuple[str, object]]:
    yield from (
        ("query", query.name),
        ("description", query.description),
        ("sql", query.sql),
        ("view", query.view),
        ("changed", Moment(query.last_update_time)),
        ("by", query.changed_by),
        ("created", Moment(query.create_time)),
        ("created by", query.actor),
    )


def _ask(client: Client, sql: str, how: AnswerOptions, chosen: Output) -> None:
    timeout_s = parse_duration(how.timeout)
    if chosen in {Output.CSV, Output.ARROW}:
        _export(client, sql, QueryFormat(chosen.value), max_rows=how.max_rows, timeout_s=timeout_s)
        return
    answer = client.queries.run(sql, max_rows=how.max_rows, timeout_s=timeout_s)
    if chosen in {Output.JSON, Output.YAML}:
        print_struct(answer, Format(chosen.value))
    elif chosen is Output.NAME:
        print_names(value_text(row[0]) for row in answer.rows)
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
        [[escape(value_text(value)) for value in row] for row in answer.rows],
        right=[escape(column.name) for column in answer.columns if _is_number(column.type)],
        whole=whole,
    )
    _print_completeness(answer.completeness)
    output.errors.print(
        f"[dim]{output.counted(len(answer.rows), 'row')} in {answer.elapsed_s:.3f} s, {answer.rows_read:,} read[/]"
    )


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
