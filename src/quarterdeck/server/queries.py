"""Queries: SQL over the tables, within limits, and how complete each answer is.

What makes a query read-only is `store.telemetry.grammar`. This owns the limits, the words of refusals about tables
and parameters, and the completeness: every answer names the tables it read, the rows that were lost on their way
into them, and the nodes that should have sent more.
"""

from __future__ import annotations

import asyncio
import difflib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import msgspec

from quarterdeck.model.errors import BadQuery
from quarterdeck.model.losses import LOSSES_TABLE, LossReason
from quarterdeck.model.queries import Answer, AnswerColumn, Completeness, LostRows, Query, QueryFormat
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.answers import cut_arrow, cut_csv
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.grammar import Statement
from quarterdeck.store.telemetry.readers import Limits

Result = TypeVar("Result")
#: names of the nodes that should fill these tables and are not connected
Offline = Callable[[Sequence[str]], Awaitable[Sequence[str]]]

#: queries that run at the same time; further ones wait
CONCURRENT = 4
ROWS_LIMIT = 10_000_000
TIME_LIMIT_S = 3600
_STATEMENTS = 256  # parsed statements that are remembered
_LOSSES_S = 1.0  # how long the sums of losses are believed, unless losses arrive before
_SHAPES = {QueryFormat.CSV: "CSVWithNames", QueryFormat.ARROW: "ArrowStream"}
_CUTS = {QueryFormat.CSV: cut_csv, QueryFormat.ARROW: cut_arrow}
_LOST = (
    "SELECT table, reason, sum(rows), uniqExact(gid, nid) FROM losses WHERE has({tables:Array(String)}, table)"
    " GROUP BY table, reason ORDER BY table, reason"
)


class _Statistics(msgspec.Struct):
    elapsed: float
    rows_read: int


class _Rows(msgspec.Struct):
    """The engine's answer in its shape JSONCompact."""

    meta: list[AnswerColumn]
    data: list[list[object]]
    statistics: _Statistics


class Queries:
    """Runs queries. `memory_bytes` is what each of them may use."""

    def __init__(self, store: TelemetryStore, tables: Tables, *, offline: Offline, memory_bytes: int) -> None:
        self._store = store
        self._tables = tables
        self._offline = offline
        self._memory_bytes = memory_bytes
        self._threads = ThreadPoolExecutor(CONCURRENT, "query")
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        self._losses: dict[tuple[str, ...], tuple[float, tuple[LostRows, ...]]] = {}

    async def run(self, query: Query) -> Answer:
        """The answer as values.

        `BadQuery` when the query is wrong or would do more than read, `TimedOut`, `TooLarge` when it needs more memory
        than it may, `Unavailable`.
        """
        statement, tables = await self._prepare(query)
        body = await self._ask(statement, query, "JSONCompact")
        found = msgspec.json.decode(body, type=_Rows)
        truncated = len(found.data) > query.max_rows
        return Answer(
            columns=tuple(found.meta),
            rows=found.data[: query.max_rows],
            elapsed_s=found.statistics.elapsed,
            rows_read=found.statistics.rows_read,
            completeness=await self._completeness(tables, truncated=truncated),
        )

    async def export(self, query: Query) -> tuple[bytes, Completeness]:
        """The answer as CSV with a header, or as an Arrow stream. Raises what `run` raises."""
        if query.format not in _SHAPES:
            raise BadQuery(f"Expected one of {', '.join(_SHAPES)}, found {query.format}.")
        statement, tables = await self._prepare(query)
        body = await self._ask(statement, query, _SHAPES[query.format])
        body, truncated = await self._in_thread(_CUTS[query.format], body, query.max_rows)
        return body, await self._completeness(tables, truncated=truncated)

    def arrived(self, table: str, group: int) -> None:  # noqa: ARG002 - any insert of losses changes the sums
        """Rows were stored: a listener of ingest."""
        if table == LOSSES_TABLE.name:
            self._losses.clear()

    async def stop(self) -> None:
        """Give up the queries that wait for their turn, and stop those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._store.interrupt)
        await asyncio.to_thread(self._threads.shutdown)

    async def _prepare(self, query: Query) -> tuple[Statement, tuple[str, ...]]:
        """The statement, checked, and the tables it reads."""
        if not 1 <= query.max_rows <= ROWS_LIMIT:
            raise BadQuery(f"max_rows is 1 to {ROWS_LIMIT}, found {query.max_rows}.")
        if not 0 < query.timeout_s <= TIME_LIMIT_S:
            raise BadQuery(f"timeout_s is more than 0 and at most {TIME_LIMIT_S}, found {query.timeout_s}.")
        statement = await self._parse(query.sql)
        missing = [name for name in statement.parameters if name not in query.parameters]
        if missing:
            raise BadQuery(f"The query has a parameter '{missing[0]}' without a value.")
        names = await self._tables.names() if statement.tables or statement.mentioned else []
        for name in statement.tables:
            if name not in names:
                raise _no_table(name, names)
        mentioned = [name for name in statement.mentioned if name in names]
        return statement, tuple(dict.fromkeys((*statement.tables, *mentioned)))

    async def _parse(self, sql: str) -> Statement:
        found = self._statements.get(sql)
        if found is None:
            found = await self._in_thread(self._store.parse, sql)
            self._statements[sql] = found
            if len(self._statements) > _STATEMENTS:
                self._statements.popitem(last=False)
        return found

    async def _ask(self, statement: Statement, query: Query, shape: str) -> bytes:
        limits = Limits(
            rows=query.max_rows + 1,  # one more says whether there are more
            time_s=math.ceil(query.timeout_s),
            memory_bytes=self._memory_bytes,
        )
        parameters = {name: query.parameters[name] for name in statement.parameters}
        return await self._in_thread(self._store.query, statement, shape=shape, limits=limits, parameters=parameters)

    async def _completeness(self, tables: tuple[str, ...], *, truncated: bool) -> Completeness:
        lost = await self._lost(tables) if tables else ()
        offline = tuple(await self._offline(tables)) if tables else ()
        complete = not (truncated or lost or offline)
        return Completeness(complete=complete, truncated=truncated, tables=tables, lost=lost, offline_nodes=offline)

    async def _lost(self, tables: tuple[str, ...]) -> tuple[LostRows, ...]:
        at, lost = self._losses.get(tables, (-math.inf, ()))
        if time.monotonic() - at < _LOSSES_S:
            return lost
        self._losses = {key: entry for key, entry in self._losses.items() if time.monotonic() - entry[0] < _LOSSES_S}
        asked = time.monotonic()
        statement = await self._parse(_LOST)
        limits = Limits(rows=ROWS_LIMIT, time_s=math.ceil(TIME_LIMIT_S), memory_bytes=self._memory_bytes)
        body = await self._in_thread(
            self._store.query, statement, shape="JSONCompact", limits=limits, parameters={"tables": list(tables)}
        )
        lost = tuple(
            LostRows(table=table, reason=LossReason(reason), rows=rows, nodes=nodes)
            for table, reason, rows, nodes in msgspec.json.decode(body)["data"]
        )
        self._losses[tables] = (asked, lost)
        return lost

    async def _in_thread(self, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments, **named))


def _no_table(name: str, names: Sequence[str]) -> BadQuery:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "`qd tables` lists the tables."
    return BadQuery(f"There is no table '{name}'.", hint=hint)
