"""Queries: SQL over the tables, within limits, and how complete each answer is.

`store.telemetry.grammar` ensures that a query only reads. This module owns the limits, the errors about tables and
parameters, and the completeness: every answer names the tables it read, the rows that were lost on their way
into them, and the nodes that should have sent more. An answer may be large: it stays as the engine wrote it, and is
never decoded here. A query whose caller is cancelled is stopped.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec

from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.errors import BadQuery, TimedOut
from quarterdeck.model.ingest import StoredInsert
from quarterdeck.model.losses import LOSSES_TABLE, OF_THE_NODE, LossReason
from quarterdeck.model.queries import Answer, AnswerColumn, Completeness, LostRows, Query, QueryFormat
from quarterdeck.model.tables import SERVER_COLUMNS
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.answers import Answers
from quarterdeck.server.hexed import described, with_hex
from quarterdeck.server.memory import Memory
from quarterdeck.server.slots import Slots
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.answers import CutRows, JsonRows, cut_arrow, cut_csv, cut_json
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.enums import Enums, enums
from quarterdeck.store.telemetry.grammar import Statement
from quarterdeck.store.telemetry.readers import Cancellation, Limits

Result = TypeVar("Result")
#: names of the nodes that should fill these tables and are not connected
Offline = Callable[[Sequence[str]], Awaitable[Sequence[str]]]

#: queries that run at the same time; further ones wait
CONCURRENT = 4
#: of these, the most that viewers together and one token may have
OF_VIEWERS, OF_TOKEN = 3, 2
WAITING_OF_TOKEN = 32
ROWS_LIMIT = 10_000_000
#: how long a query may take, by the role of its token
TIME_LIMITS_S = {Role.VIEWER: 300, Role.OPERATOR: 1800, Role.ADMIN: 3600}
_BOOKKEEPERS = 2  # threads for requests to the engine other than queries: they never wait for a query
_BOOKS_S = 60
_LOST_ROWS = 100_000  # sums of losses, by table and reason
_STATEMENTS = 256  # parsed statements in the cache
_LOSSES_S = 1.0  # how long sums of losses are cached, unless losses arrive before
_A_NUMBER = re.compile(r"[Cc]annot (convert|parse) string .* (to|as) (type )?U?Int|no supertype")
_NAMES = 5  # names of an enum in an error
_SHAPES = {QueryFormat.JSON: "JSONCompact", QueryFormat.CSV: "CSVWithNames", QueryFormat.ARROW: "ArrowStream"}
_CUTS: dict[QueryFormat, Callable[[bytes, int], JsonRows | CutRows]] = {
    QueryFormat.JSON: cut_json,
    QueryFormat.CSV: cut_csv,
    QueryFormat.ARROW: cut_arrow,
}
_LOST = (
    "SELECT table, reason, sum(rows), uniqExact(gid, nid) FROM losses WHERE has({tables:Array(String)}, table)"
    " AND NOT has({kept:Array(String)}, reason) GROUP BY table, reason ORDER BY table, reason"
)


@dataclass(frozen=True, eq=False)
class Reply:
    """An answer in the requested format, in parts to be sent one after the other, and its completeness.

    In JSON it is an `Answer`, which contains the completeness. Its memory counts against the limit of waiting answers
    until the last reference to it is dropped.
    """

    parts: tuple[bytes | memoryview, ...]
    completeness: Completeness


class Queries:
    """Runs queries. `memory` has the limits of each query and its answer."""

    def __init__(self, store: TelemetryStore, tables: Tables, *, offline: Offline, memory: Memory) -> None:
        self._store = store
        self._tables = tables
        self._offline = offline
        self._memory = memory
        self._slots = Slots(CONCURRENT, of_viewers=OF_VIEWERS, of_token=OF_TOKEN, waiting_of_token=WAITING_OF_TOKEN)
        self._answers = Answers(memory.answers_bytes)
        self._threads = ThreadPoolExecutor(CONCURRENT, "query")
        self._books = ThreadPoolExecutor(_BOOKKEEPERS, "query-books")
        self._statements: OrderedDict[tuple[str, int], Statement] = OrderedDict()
        self._losses: dict[tuple[str, ...], tuple[float, tuple[LostRows, ...]]] = {}

    async def run(self, query: Query, token: ApiToken) -> Reply:
        """Run a query and return its answer.

        Raise `BadQuery` when the query is wrong or would do more than read, `TooLarge` when it or its answer exceeds
        its memory, `TooMany` when too many queries of the token wait, `TimedOut` or `Unavailable`.
        """
        statement, tables = await self._prepare(query, token)
        began = time.monotonic()
        try:
            async with asyncio.timeout(query.timeout_s) as waiting, self._turn(token):
                waiting.reschedule(None)  # from here on the engine enforces the time limit
                statement = await self._with_hex(statement, tables, query)
                left_s = query.timeout_s - (time.monotonic() - began)
                found = await self._ask(statement, query, max(1, math.ceil(left_s)))
        except BadQuery as error:
            raise self._explained(error, tables) from error
        except TimeoutError as error:
            raise TimedOut(
                "The query did not start in time: other queries were running, or answers were waiting to be read.",
                hint="Read the answers of earlier queries, try again later, or allow more time.",
            ) from error
        completeness = await self._completeness(tables, truncated=found.truncated)
        parts = _in_json(found, completeness) if isinstance(found, JsonRows) else (found.body,)
        reply = Reply(parts, completeness)
        self._answers.hold(reply, sum(map(len, parts)), token)
        return reply

    def arrived(self, inserts: Iterable[StoredInsert]) -> None:
        """Drop the cached sums of losses when losses were stored."""
        if any(insert.table == LOSSES_TABLE.name for insert in inserts):
            self._losses.clear()

    async def stop(self) -> None:
        """Cancel the queries that wait for a slot, and stop those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._books.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._store.interrupt)
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._books.shutdown)

    @asynccontextmanager
    async def _turn(self, token: ApiToken) -> AsyncGenerator[None]:
        """Wait for a slot and for memory for an answer, and hold both. A query never holds one while it waits."""
        while True:
            await self._answers.room(token)
            async with self._slots.slot(token):
                if self._answers.may_ask(token):  # other answers may have been added in the meantime
                    yield
                    return

    async def _prepare(self, query: Query, token: ApiToken) -> tuple[Statement, tuple[str, ...]]:
        """Return the checked statement, and the tables that it reads."""
        if not 1 <= query.max_rows <= ROWS_LIMIT:
            raise BadQuery(f"max_rows is 1 to {ROWS_LIMIT}, found {query.max_rows}.")
        limit_s = TIME_LIMITS_S[token.role]
        if not 0 < query.timeout_s <= limit_s:
            raise BadQuery(
                f"timeout_s is more than 0 and at most {limit_s} for the role {token.role}, found {query.timeout_s:g}.",
                hint="Read less at a time, or use a token with a higher role.",
            )
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
        key = (sql, self._tables.changes)
        found = self._statements.get(key)
        if found is None:
            found = await self._in_thread(self._books, self._store.parse, sql, self._columns)
            self._statements[key] = found
            if len(self._statements) > _STATEMENTS:
                self._statements.popitem(last=False)
        return found

    def _columns(self, table: str) -> tuple[Enums, frozenset[str]] | None:
        columns = self._tables.columns(table)
        return (enums(columns), frozenset(each.name for each in (*columns, *SERVER_COLUMNS))) if columns else None

    def _explained(self, error: BadQuery, tables: Sequence[str]) -> BadQuery:
        """Return the error with a hint that lists the names of enums that may have been compared with numbers."""
        known = {name: values for table in tables for name, values in enums(self._tables.columns(table)).items()}
        if not _A_NUMBER.search(str(error)) or not known:
            return error
        names = "; ".join(f"{name} has {', '.join(list(values.values())[:_NAMES])} …" for name, values in known.items())
        return BadQuery(error.message, hint=f"Compare columns of named values with one of their names: {names}.")

    async def _ask(self, statement: Statement, query: Query, time_s: int) -> JsonRows | CutRows:
        """Return the answer without rows beyond `max_rows`. When cancelled, wait until the engine has stopped."""
        limits = self._limits(query.max_rows + 1, time_s)  # one more row shows whether there are more
        parameters = {name: query.parameters[name] for name in statement.parameters}
        cancellation = Cancellation()

        def ask() -> JsonRows | CutRows:
            body = self._store.query(
                statement,
                shape=_SHAPES[query.format],
                limits=limits,
                parameters=parameters,
                cancellation=cancellation,
            )
            return _CUTS[query.format](body, query.max_rows)

        asked = asyncio.ensure_future(self._in_thread(self._threads, ask))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await self._in_thread(self._books, self._store.cancel, cancellation)
            await asyncio.gather(asked, return_exceptions=True)  # the slot stays occupied until then
            raise

    def _limits(self, rows: int, time_s: int) -> Limits:
        memory = self._memory
        return Limits(rows=rows, time_s=time_s, memory_bytes=memory.query_bytes, answer_bytes=memory.answer_bytes)

    async def _with_hex(self, statement: Statement, tables: tuple[str, ...], query: Query) -> Statement:
        """Return the statement with `binary` columns as hex if the answer is JSON and a table has such columns."""
        binary = self._tables.binary(tables) if query.format is QueryFormat.JSON else ()
        if not binary:
            return statement
        parameters = {name: query.parameters[name] for name in statement.parameters}
        limits = self._limits(ROWS_LIMIT, _BOOKS_S)
        body = await self._in_thread(
            self._books,
            self._store.query,
            described(statement),
            shape="JSONCompact",
            limits=limits,
            parameters=parameters,
        )
        columns = [AnswerColumn(name=name, type=kind) for name, kind, *_ in msgspec.json.decode(body)["data"]]
        return with_hex(statement, columns, binary)

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
        limits = self._limits(_LOST_ROWS, _BOOKS_S)
        parameters: dict[str, Any] = {"tables": list(tables), "kept": list(map(str, OF_THE_NODE))}
        body = await self._in_thread(
            self._books, self._store.query, statement, shape="JSONCompact", limits=limits, parameters=parameters
        )
        lost = tuple(
            LostRows(table=table, reason=LossReason(reason), rows=rows, nodes=nodes)
            for table, reason, rows, nodes in msgspec.json.decode(body)["data"]
        )
        self._losses[tables] = (asked, lost)
        return lost

    async def _in_thread(
        self, threads: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any, **named: Any
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(threads, partial(function, *arguments, **named))


def _in_json(found: JsonRows, completeness: Completeness) -> tuple[bytes | memoryview, ...]:
    """Return the parts of a JSON answer, with the rows as the engine wrote them."""
    answer = Answer(
        columns=found.columns,
        rows=[],
        elapsed_s=found.elapsed_s,
        rows_read=found.rows_read,
        completeness=completeness,
    )
    before, place, behind = msgspec.json.encode(answer).partition(b'"rows":[]')  # no text has it: quotes are escaped
    return before + place[:-1], found.rows, b"]" + behind


def _no_table(name: str, names: Sequence[str]) -> BadQuery:
    hint = did_you_mean(nearest(name, names, cutoff=0.5), otherwise="`qd tables` lists the tables.")
    return BadQuery(f"There is no table '{name}'.", hint=hint)
