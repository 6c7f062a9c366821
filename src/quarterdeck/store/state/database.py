"""The database of the state store: its transactions, and its faults as errors of `model/errors`.

Owns the connections, the migrations at start and the check that an existing SQLite file is sound. Never repairs or
replaces a damaged file: an administrator must decide that.
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
from sqlalchemy import URL, Connection, false, update
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.kit.sqlite import Fault, code_of, fault_of
from quarterdeck.model.errors import QuarterdeckError, StorageCorrupt, StorageFull, Unavailable
from quarterdeck.store.state.engines import WRITE_WAIT_S, Engines, create_engines, parse_url
from quarterdeck.store.state.schema import ingest_group

MIGRATIONS = Path(__file__).parent / "migrations"

_SQLITE_FAULTS: dict[Fault | None, type[QuarterdeckError] | None] = {
    Fault.FULL: StorageFull,
    Fault.DAMAGED: StorageCorrupt,
    Fault.UNUSABLE: Unavailable,
    None: None,
}
#: classes of SQLSTATE: the disk or memory is used up; no connection; the server is stopping; a lock took too long
_POSTGRESQL_FAULTS: dict[str, type[QuarterdeckError]] = {
    "53100": StorageFull,
    "08": Unavailable,
    "53": Unavailable,
    "57P": Unavailable,
    "25006": Unavailable,  # a standby, or a database that was made read-only
    "55P03": Unavailable,
    "3D000": Unavailable,
    "28": Unavailable,
    "XX001": StorageCorrupt,
    "XX002": StorageCorrupt,
}


class Database:
    """An open state store. Everything in one block of `read()` or `write()` is one transaction."""

    def __init__(self, url: URL, engines: Engines) -> None:
        self._url = url
        self._engines = engines
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> Database:
        """Open the store at `url`, check it, and migrate its tables to this version.

        Raise `BadConfig` for a wrong URL, `StorageCorrupt` for a damaged file, `Unavailable` for a failed connection or
        a store that a newer version wrote.
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
        """Return "sqlite" or "postgresql"."""
        return self._url.get_backend_name()

    @property
    def name(self) -> str:
        """Return the location of the store, without its password."""
        return self._url.database or "" if self.kind == "sqlite" else self._url.render_as_string()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction that sees one state of the store and changes nothing."""
        self._check_open()
        with _faults(self.name):
            async with self._engines.read.connect() as connection:
                await connection.begin()  # for direct statements too; undone when it is closed
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Open the only transaction that may change the store now. It is committed to disk at the end, or undone."""
        self._check_open()
        with _faults(self.name):
            async with self._engines.write.begin() as connection:
                yield connection

    async def check_writable(self) -> None:
        """Write without a change; raise `Unavailable`, `StorageFull` or `StorageCorrupt` when no write is possible."""
        async with self.write() as transaction:
            await transaction.execute(update(ingest_group).where(false()).values(group=ingest_group.c.group))

    async def close(self) -> None:
        """Close every connection. Later calls raise `Unavailable`."""
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
    "be read with `sqlite3 FILE .recover`. To begin a new fleet, move the file and the folder ca/ away; every node "
    "must then join anew."
)


def _corrupt(name: str, found: str) -> str:
    return f"Expected a sound state store in {name}, found a damaged one: {found}."


@contextmanager
def _faults(name: str) -> Generator[None]:
    """Raise the database's errors as errors of `model/errors`. An error of our SQL is raised unchanged."""
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
    """Return our error class for a database's error, or None when the statement was wrong."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if code_of(original) is not None:
        return _SQLITE_FAULTS[fault_of(original)]
    if isinstance(error, sqlite3.Error):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return next((kind for prefix, kind in _POSTGRESQL_FAULTS.items() if state.startswith(prefix)), None)
    return Unavailable if error.connection_invalidated or isinstance(error, InterfaceError) else None
