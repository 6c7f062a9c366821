"""The database of the state store: transactions to read and to write in, and its faults as errors of ours.

Owns the connections, the migrations at start and the check that an existing SQLite file is sound. Never repairs or
replaces a damaged file: that is a person's decision.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import QuarterdeckError, StorageCorrupt, StorageFull, Unavailable
from quarterdeck.store.state.engines import WRITE_WAIT_S, Engines, create_engines, parse_url

MIGRATIONS = Path(__file__).parent / "migrations"

_SQLITE_FAULTS: dict[int, type[QuarterdeckError]] = {
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_CORRUPT: StorageCorrupt,
    sqlite3.SQLITE_NOTADB: StorageCorrupt,
    sqlite3.SQLITE_BUSY: Unavailable,
    sqlite3.SQLITE_IOERR: Unavailable,
    sqlite3.SQLITE_CANTOPEN: Unavailable,
    sqlite3.SQLITE_READONLY: Unavailable,
}
#: classes of SQLSTATE: the disk or memory is used up; no connection; the server is stopping; a lock took too long
_POSTGRESQL_FAULTS: dict[str, type[QuarterdeckError]] = {
    "53100": StorageFull,
    "08": Unavailable,
    "53": Unavailable,
    "57P": Unavailable,
    "55P03": Unavailable,
    "3D000": Unavailable,
    "28": Unavailable,
    "XX001": StorageCorrupt,
    "XX002": StorageCorrupt,
}


class Database:
    """One state store, open. Use `read()` and `write()`; everything in one block is one transaction."""

    def __init__(self, url: URL, engines: Engines) -> None:
        self._url = url
        self._engines = engines
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> Database:
        """Opens the store at `url`, checks it, and brings its tables to this version.

        Raises `BadConfig` (the URL), `StorageCorrupt` (a damaged file), `Unavailable` (no connection, or a store that
        a newer version wrote).
        """
        parsed = parse_url(url)
        database = cls(parsed, create_engines(parsed))
        try:
            async with database.write() as transaction:
                await transaction.run_sync(_check_and_migrate, database.name)
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def kind(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self._url.get_backend_name()

    @property
    def name(self) -> str:
        """Where the store is, without its password."""
        return self._url.database or "" if self.kind == "sqlite" else self._url.render_as_string()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees one state of the store and changes nothing."""
        self._check_open()
        with _faults(self.name):
            async with self._engines.read.connect() as connection:
                await connection.begin()  # also for what goes straight to the driver; undone when it is closed
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """The one transaction that may change the store now. On disk when the block ends; undone when it raises."""
        self._check_open()
        with _faults(self.name):
            async with self._engines.write.begin() as connection:
                yield connection

    async def close(self) -> None:
        """Closes every connection. Whoever comes later gets `Unavailable`."""
        self._closed = True
        await self._engines.read.dispose()
        await self._engines.write.dispose()

    def _check_open(self) -> None:
        if self._closed:  # an engine would connect again
            raise Unavailable(f"The state store {self.name} is closed: the server is stopping.")


def _check_and_migrate(connection: Connection, name: str) -> None:
    if connection.dialect.name == "sqlite":
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if verdict != "ok":
            raise StorageCorrupt(_corrupt(name, str(verdict)), hint=_RESTORE)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in known:
        raise Unavailable(
            f"The state store {name} was written by a newer Quarterdeck (schema {found}).",
            hint="Install that version or a later one; an older server cannot read it.",
        )
    command.upgrade(config, "head")


_RESTORE = (
    "Nothing was changed. Stop the server, keep a copy of the file, and restore it from a backup or recover what can "
    "be read with `sqlite3 FILE .recover`; or move the file away to start empty (every node must then join anew)."
)


def _corrupt(name: str, found: str) -> str:
    return f"Expected a sound state store in {name}, found a damaged one: {found}."


@contextmanager
def _faults(name: str) -> Generator[None]:
    """The database's own errors as ours. A fault of our SQL stays what it is."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(f"The state store {name} was busy for {WRITE_WAIT_S:.0f} s.", hint="Try again.") from error
    except (DBAPIError, sqlite3.Error) as error:
        kind, found = _fault(error), error.orig if isinstance(error, DBAPIError) else error
        if kind is StorageFull:
            raise StorageFull(
                f"The disk under the state store {name} is full.", hint="Free space and try again."
            ) from error
        if kind is StorageCorrupt:
            raise StorageCorrupt(_corrupt(name, str(found)), hint=_RESTORE) from error
        if kind is not None:
            raise Unavailable(f"The state store {name} cannot be used now: {found}.") from error
        raise
    except OSError as error:  # asyncpg's connect
        raise Unavailable(f"The state store {name} cannot be reached: {error}.") from error


def _fault(error: DBAPIError | sqlite3.Error) -> type[QuarterdeckError] | None:
    """Which of our errors a database's error is, or None when the statement was wrong."""
    code = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _SQLITE_FAULTS.get(code & 0xFF)
    if isinstance(error, sqlite3.Error):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return next((kind for prefix, kind in _POSTGRESQL_FAULTS.items() if state.startswith(prefix)), None)
    return Unavailable if error.connection_invalidated or isinstance(error, InterfaceError) else None
