"""The tools about tables: which exist, what is in one, and SQL over them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import fitting
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.errors import NotFound
from quarterdeck.model.moments import utc
from quarterdeck.model.queries import AnswerColumn, Completeness, Query, QueryParameter, TableInfo
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import SERVER_COLUMNS, Column
from quarterdeck.model.tokens import ApiToken


class ListTables(Struct, frozen=True, kw_only=True):
    """The arguments of list_tables."""

    text: Annotated[str, Meta(description="Only tables with this text in their name or description.")] = ""


class TableSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table in few words. `module` fills it; "" for tables of the server itself."""

    name: str
    description: str
    rows: int
    module: str = ""
    columns: tuple[str, ...] = ()
    oldest: str = ""
    newest: str = ""


class TablesFound(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of list_tables."""

    tables: tuple[TableSummary, ...]
    cut: str = ""


class DescribeTable(Struct, frozen=True, kw_only=True):
    """The arguments of describe_table."""

    table: Annotated[str, Meta(description="The name of the table, as list_tables has it.")]


class TableDescription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of describe_table."""

    name: str
    description: str
    columns: tuple[Column, ...]
    rows: int
    bytes: int
    retention_s: int  #: 0: rows are kept without limit
    module: str = ""
    oldest: str = ""
    newest: str = ""
    cut: str = ""


class AskQuery(Struct, frozen=True, kw_only=True):
    """The arguments of query."""

    sql: Annotated[
        str, Meta(description="One SELECT in ClickHouse's dialect. Values can be parameters, written {name:Type}.")
    ]
    parameters: Annotated[
        dict[str, QueryParameter], Meta(description="A value for each parameter in the SQL, by its name.")
    ] = {}
    max_rows: Annotated[int, Meta(ge=1, le=1000, description="The most rows in the answer.")] = 100
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="Seconds that the query may take.")] = 30.0


class QueryAnswer(Struct, frozen=True, kw_only=True):
    """The answer of query. `completeness` says which rows may be missing, and why. `cut`: rows that were left out."""

    columns: tuple[AnswerColumn, ...]
    rows: list[list[Any]]
    elapsed_s: float
    rows_read: int
    completeness: Completeness
    cut: str = ""


class _RawAnswer(msgspec.Struct, frozen=True):
    """An `Answer` whose rows are not decoded yet."""

    columns: tuple[AnswerColumn, ...]
    rows: list[msgspec.Raw]
    elapsed_s: float
    rows_read: int
    completeness: Completeness


async def list_tables(backend: Backend, asked: ListTables, _: ApiToken) -> TablesFound:
    """Return the tables, by name."""
    text = asked.text.casefold()
    found = [
        TableSummary(
            name=info.table.name,
            description=info.table.description,
            rows=info.rows,
            module=info.table.module,
            columns=tuple(column.name for column in info.table.columns),
            oldest=_moment(info.oldest),
            newest=_moment(info.newest),
        )
        for info in await backend.tables.list()
        if text in f"{info.table.name} {info.table.description}".casefold()
    ]
    shown = fitting(found)
    left = f"{len(found) - len(shown)} more tables: narrow them with `text`." if len(shown) < len(found) else ""
    return TablesFound(tables=tuple(shown), cut=left)


async def describe_table(backend: Backend, asked: DescribeTable, _: ApiToken) -> TableDescription:
    """Return a table with its columns; raise `NotFound`."""
    known = {info.table.name: info for info in await backend.tables.list()}
    info = known.get(asked.table)
    if info is None:
        hint = did_you_mean(nearest(asked.table, known, cutoff=0.5), otherwise="Use list_tables.")
        raise NotFound(f"There is no table '{asked.table[:100]}'.", hint=hint)
    return _described(info)


def _described(info: TableInfo) -> TableDescription:
    table = info.table
    columns = (*SERVER_COLUMNS, *table.columns)
    shown = fitting(columns)
    return TableDescription(
        name=table.name,
        description=table.description,
        columns=tuple(shown),
        rows=info.rows,
        bytes=info.bytes,
        retention_s=table.retention_s,
        module=table.module,
        oldest=_moment(info.oldest),
        newest=_moment(info.newest),
        cut=f"{len(columns) - len(shown)} more columns" if len(shown) < len(columns) else "",
    )


async def query(backend: Backend, asked: AskQuery, token: ApiToken) -> QueryAnswer:
    """Run a query within the limits of the token's role, and return the rows that fit."""
    reply = await backend.queries.run(
        Query(sql=asked.sql, parameters=asked.parameters, max_rows=asked.max_rows, timeout_s=asked.timeout_s), token
    )
    return await asyncio.to_thread(_bounded, reply.parts)


def _bounded(parts: tuple[bytes | memoryview, ...]) -> QueryAnswer:
    """Decode as many rows of an answer as an answer of a tool holds."""
    answer = msgspec.json.decode(b"".join(parts), type=_RawAnswer)
    shown = fitting(answer.rows)
    left_out = len(answer.rows) - len(shown)
    cut = "There are more rows than max_rows." if answer.completeness.truncated else ""
    if left_out:
        cut = f"{left_out} rows were left out for size. Select fewer columns, aggregate, or use LIMIT and OFFSET. {cut}"
    return QueryAnswer(
        columns=answer.columns,
        rows=[msgspec.json.decode(row) for row in shown],
        elapsed_s=answer.elapsed_s,
        rows_read=answer.rows_read,
        completeness=answer.completeness,
        cut=cut.strip(),
    )


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else utc(seconds)


TOOLS = (
    Tool(
        name="list_tables",
        title="List tables",
        description=(
            "List the tables that `query` can read, with their columns, sizes and ages: what eBPF modules saw in the"
            " kernels of the nodes, `messages` of programs, `stats`, and `losses` (rows that were lost, and why)."
            " Use describe_table for types, units and meanings of the columns before writing SQL."
        ),
        arguments=ListTables,
        answer=TablesFound,
        call=list_tables,
    ),
    Tool(
        name="describe_table",
        title="Describe a table",
        description=(
            "Show the columns of a table: name, type, unit, description, role, and for an enum its names."
            " Every table also has `time`, `gid` and `nid`; gid and nid identify the node (`key` in list_nodes)."
        ),
        arguments=DescribeTable,
        answer=TableDescription,
        call=describe_table,
    ),
    Tool(
        name="query",
        title="Query with SQL",
        description=(
            "Run one read-only SQL query (ClickHouse dialect) over the tables. Filter by `time` and aggregate in SQL:"
            " at most 1000 rows are returned, fewer when they are large, and `cut` says so. Compare enum columns with"
            " their names. `completeness` tells whether rows were lost or nodes are offline: say so when it matters."
        ),
        arguments=AskQuery,
        answer=QueryAnswer,
        call=query,
    ),
)
