"""A SQLite connection for SQLAlchemy's asyncio engine: brief things are done where they are asked for.

A lookup in SQLite takes some microseconds, a thread that is woken for it and wakes the event loop again a hundred times
that. So a statement runs at once, in the event loop's thread; a read that is not done within a moment is begun anew in
a thread of the connection's own, and so is what finds the file locked by another process. Commits, which wait for
the disk, always run there. Owns one connection; has the shape of aiosqlite's, for which SQLAlchemy has an adapter.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")
Parameters = Sequence[Any]

#: how long a statement that only reads may keep the event loop
BRIEF_S = 0.003
#: instructions of SQLite's machine between two looks at the clock: about 50 µs
_INSTRUCTIONS = 2000
_ELSEWHERE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT})


class Connection:
    """One connection to the file at `path`. `settings` are pragmas; with `read_only` it changes nothing.

    `busy_s`: how long it waits, in its thread, for another process to let go of the file.
    """

    def __init__(self, path: str, *, settings: Sequence[str], read_only: bool, busy_s: float) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state-store")
        # one thing at a time is the caller's promise, whichever thread does it
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        self._busy_ms = int(1000 * busy_s)
        self._deadline = float("inf")
        self._elsewhere: asyncio.Future[Any] | None = None
        for setting in (*settings, *(("query_only=ON",) if read_only else ())):
            self._patiently(lambda setting=setting: self._connection.execute(f"PRAGMA {setting}"))
        if read_only:  # of what changes the store, half would be undone
            self._connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _INSTRUCTIONS)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`: at once if it is brief, else from the thread."""
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
        """A cursor."""
        return Cursor(self, self._connection.cursor())

    async def commit(self) -> None:
        """On disk when it returns."""
        if self._connection.in_transaction:
            await self._aside(self._connection.commit)  # never for another process: it has the write lock

    async def rollback(self) -> None:
        """As it was before the transaction."""
        await self._settled()
        self._connection.rollback()

    async def close(self) -> None:
        """Let go of the file."""
        await self._aside(self._connection.close)
        self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """The same where nobody can wait."""
        self._thread.submit(self._connection.close)
        self._thread.shutdown(wait=False)

    async def create_function(self, *arguments: Any, **named: Any) -> None:
        """A function for statements."""
        self._connection.create_function(*arguments, **named)

    async def _aside(self, work: Callable[[], T]) -> T:
        """In the thread. Whoever gives up waiting does not end it: what comes next waits for its end."""
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
    """What a statement found, all of it."""

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
        """Run one statement for each of these."""
        every = list(parameters)
        await self._connection.run(lambda: self._cursor.executemany(statement, every))
        return self

    async def fetchall(self) -> list[Any]:
        """The rows."""
        return self._rows

    @property
    def rows(self) -> list[Any]:
        """The rows."""
        return self._rows

    async def close(self) -> None:
        """Forget the rows."""
        self._cursor.close()
        self._rows = []

    @property
    def description(self) -> Any:
        """The columns, or None when the statement finds nothing."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """Rows changed."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The last row added."""
        return self._cursor.lastrowid
