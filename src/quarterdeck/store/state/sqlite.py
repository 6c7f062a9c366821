"""A SQLite connection for SQLAlchemy's asyncio engine that runs short statements in the event loop's thread.

A lookup in SQLite takes a few microseconds; waking a thread for it, and the event loop again, takes a hundred times as
long. So a statement runs at once, in the event loop's thread; a read that takes longer than `BRIEF_S` is restarted in
the connection's own thread, and so is a statement that finds the file locked by another process. Commits, which wait
for the disk, always run there. Owns one connection; has the interface of aiosqlite's, which SQLAlchemy has an adapter
for.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")
Parameters = Sequence[Any]

#: how long a statement that only reads may block the event loop
BRIEF_S = 0.003
#: instructions of SQLite's machine between two looks at the clock: about 50 µs
_INSTRUCTIONS = 2000
_ELSEWHERE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT})


class Connection:
    """One connection to the file at `path`. `settings` are pragmas; with `read_only` it refuses changes.

    `busy_s`: how long it waits, in its thread, for another process to unlock the file.
    """

    def __init__(self, path: str, *, settings: Sequence[str], read_only: bool, busy_s: float) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state-store")
        # the caller guarantees one statement at a time, whichever thread runs it
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        self._busy_ms = int(1000 * busy_s)
        self._deadline = float("inf")
        self._elsewhere: asyncio.Future[Any] | None = None
        self._closing, self._closed = False, Future[None]()
        for setting in (*settings, *(("query_only=ON",) if read_only else ())):
            self._patiently(lambda setting=setting: self._connection.execute(f"PRAGMA {setting}"))
        if read_only:  # an interrupted change would be half undone
            self._connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _INSTRUCTIONS)

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of `work`: at once if it is brief, else from the thread."""
        await self._settled()
        self._deadline = time.monotonic() + BRIEF_S
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _ELSEWHERE:
                raise
        finally:
            self._deadline = float("inf")
        return await self._aside(lambda: self._patiently(work))

    def cursor(self) -> Cursor:
        """Return a cursor."""
        return Cursor(self, self._connection.cursor())

    async def commit(self) -> None:
        """Commit; return when the commit is on disk."""
        if self._connection.in_transaction:
            await self._aside(self._connection.commit)  # waits for no other process: this one has the write lock

    async def rollback(self) -> None:
        """Undo the transaction."""
        await self._settled()
        self._connection.rollback()

    async def close(self) -> None:
        """Close the file, after the statement that runs now."""
        self.stop()
        await asyncio.shield(asyncio.wrap_future(self._closed))

    def stop(self) -> None:
        """Close the file where nothing can be awaited. A second call changes nothing: SQLAlchemy tries both ways."""
        if not self._closing:
            self._closing = True
            self._thread.submit(self._close)
            self._thread.shutdown(wait=False)

    def _close(self) -> None:
        try:
            self._connection.close()
        finally:
            self._closed.set_result(None)

    async def create_function(self, *arguments: Any, **named: Any) -> None:
        """Create a SQL function for statements."""
        self._connection.create_function(*arguments, **named)

    async def _aside(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread. A cancelled caller does not end it: the next call waits for its end."""
        await self._settled()
        done = self._elsewhere = asyncio.get_running_loop().run_in_executor(self._thread, work)
        return await asyncio.shield(done)

    async def _settled(self) -> None:
        if self._elsewhere is not None and not self._elsewhere.done():
            await asyncio.wait((self._elsewhere,))

    def _patiently(self, work: Callable[[], T]) -> T:
        self._connection.execute(f"PRAGMA busy_timeout={self._busy_ms}")
        try:
            return work()
        finally:
            self._connection.execute("PRAGMA busy_timeout=0")

    @property
    def _conn(self) -> sqlite3.Connection:
        return self._connection


class Cursor:
    """All rows that a statement found."""

    def __init__(self, connection: Connection, cursor: sqlite3.Cursor) -> None:
        self._connection = connection
        self._cursor = cursor
        self._rows: list[Any] = []
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Parameters = ()) -> Self:
        """Run one statement to its end."""

        def work() -> None:
            self._cursor.execute(statement, parameters)
            self._rows = self._cursor.fetchall() if self._cursor.description else []

        await self._connection.run(work)
        return self

    async def executemany(self, statement: str, parameters: Iterable[Parameters]) -> Self:
        """Run one statement for each of these parameters."""
        every = list(parameters)
        await self._connection.run(lambda: self._cursor.executemany(statement, every))
        return self

    async def fetchall(self) -> list[Any]:
        """Return the rows."""
        return self._rows

    @property
    def rows(self) -> list[Any]:
        """Return the rows."""
        return self._rows

    async def close(self) -> None:
        """Discard the rows."""
        self._cursor.close()
        self._rows = []

    @property
    def description(self) -> Any:
        """Return the columns, or None when the statement returns none."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """Return the number of changed rows."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """Return the id of the last added row."""
        return self._cursor.lastrowid
