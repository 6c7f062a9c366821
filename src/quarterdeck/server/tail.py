"""Live tails: the rows of a table as they are stored.

A follower is notified of the groups of inserts as they happen and reads only their rows, page by page, at the pace of
its client. It polls only where other servers share the store. A cursor names an insert and how many of its rows were
read, so that a tail can be resumed without a gap. It never changes a table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from quarterdeck.kit.race import within
from quarterdeck.model.errors import BadQuery, NotFound
from quarterdeck.model.ingest import StoredInsert
from quarterdeck.model.queries import AnswerColumn, TailRows
from quarterdeck.server.hexed import in_hex
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.enums import enums
from quarterdeck.store.telemetry.grammar import Statement
from quarterdeck.store.telemetry.readers import Limits
from quarterdeck.store.telemetry.schema import quoted

#: rows in one page
PAGE_ROWS = 1000
_THREADS = 2
_POLL_S = 2.0  # interval of looking for other servers' inserts
_LIMITS = Limits(rows=100_000, time_s=30, memory_bytes=200_000_000, answer_bytes=50_000_000)


class _Page(msgspec.Struct):
    meta: list[AnswerColumn]
    data: list[list[object]]


class _Follower:
    """A tail with the inserts that it has yet to read."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.groups: deque[int] = deque()
        self.news = asyncio.Event()


class Tail:
    """Follows tables. `arrived` receives the inserts that happen."""

    def __init__(self, store: TelemetryStore, tables: Tables) -> None:
        self._store = store
        self._tables = tables
        self._followers: set[_Follower] = set()
        self._threads = ThreadPoolExecutor(_THREADS, "tail")  # conditions may be slow: only tails wait for them

    async def stop(self) -> None:
        """Stop reading: cancel pending reads, and do not wait for those in progress."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def arrived(self, inserts: Iterable[StoredInsert]) -> None:
        """Notify the followers of the tables that have new rows."""
        for insert in inserts:
            for follower in self._followers:
                if follower.table == insert.table:
                    follower.groups.append(insert.group)
                    follower.news.set()

    async def open(self, table: str, *, where: str = "", cursor: str = "") -> AsyncIterator[TailRows]:
        """Return the rows of a table that are stored from now on, or after `cursor`, and match the condition `where`.

        Raise `NotFound` when the table does not exist, and `BadQuery` when `where` is not one condition over it, or the
        cursor is invalid. A cursor is valid for the same table and condition.
        """
        if table not in await self._tables.names():
            raise NotFound(f"There is no table '{table}'.", hint="`qd tables` lists the tables.")
        statement = await asyncio.to_thread(self._statement, table, where)
        group, seen = _parsed(cursor) if cursor else (await asyncio.to_thread(self._store.last_group, table), None)
        await self._read(statement, 0, 0)  # a condition that cannot be evaluated fails here, not in mid-stream
        return self._rows(_Follower(table), statement, group, seen)

    async def _rows(
        self, follower: _Follower, statement: Statement, group: int, seen: int | None
    ) -> AsyncGenerator[TailRows]:
        self._followers.add(follower)
        try:
            if seen is not None:
                async for page in self._pages(statement, group, seen):
                    yield page
            await self._look(follower, group)
            while True:
                while follower.groups:
                    upcoming = follower.groups.popleft()
                    if upcoming > group:
                        group = upcoming
                        async for page in self._pages(statement, group, 0):
                            yield page
                await self._wait(follower, group)
        finally:
            self._followers.discard(follower)

    async def _pages(self, statement: Statement, group: int, seen: int) -> AsyncGenerator[TailRows]:
        """Yield the rows of one insert, starting after the first `seen`."""
        while True:
            page = await self._read(statement, group, seen)
            seen += len(page.data)
            if page.data:
                yield TailRows(columns=tuple(page.meta), rows=page.data, cursor=f"{group}.{seen}")
            if len(page.data) < PAGE_ROWS:
                return

    async def _wait(self, follower: _Follower, group: int) -> None:
        """Wait until another insert may have happened."""
        if self._store.shared:
            await within(_POLL_S, follower.news.wait())
            await self._look(follower, group)
        else:
            await follower.news.wait()
        follower.news.clear()

    async def _look(self, follower: _Follower, group: int) -> None:
        """Add the inserts after `group` of which this server was not notified."""
        found = await asyncio.to_thread(self._store.groups_after, follower.table, group)
        follower.groups = deque(sorted({*found, *follower.groups}))

    async def _read(self, statement: Statement, group: int, seen: int) -> _Page:
        parameters = {"group": group, "seen": seen}
        body = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: self._store.query(statement, shape="JSONCompact", limits=_LIMITS, parameters=parameters),
        )
        return msgspec.json.decode(body, type=_Page)

    def _statement(self, table: str, where: str) -> Statement:
        condition = f" AND {self._store.condition(where, enums(self._tables.columns(table)))}" if where.strip() else ""
        statement = self._store.parse(
            f"SELECT * FROM {quoted(table)} WHERE _insert = {{group:UInt64}}{condition}"  # noqa: S608 - both are parsed
            f" ORDER BY time, cityHash64(*) LIMIT {PAGE_ROWS} OFFSET {{seen:UInt64}}"
        )
        return in_hex(statement, sorted(self._tables.binary([table])))


def _parsed(cursor: str) -> tuple[int, int]:
    group, _, seen = cursor.partition(".")
    if not (group.isdecimal() and seen.isdecimal()):
        raise BadQuery(f"'{cursor}' is not a cursor of a tail.", hint="Use the cursor of the last rows you got.")
    return int(group), int(seen)
