"""The engines under the state store: how each database is opened so that what it acknowledges is on disk.

Each database has two engines: one for reading, and one for writing, which runs one transaction at a time in the whole
fleet (SQLite by its only writing connection, PostgreSQL by an advisory lock). A fleet changes a few times per second;
in return a writer never sees an unfinished change of another, and SQLite never reports "database is locked".
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy
from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from quarterdeck.model.errors import BadConfig, Unavailable
from quarterdeck.store.state.sqlite import Connection as SqliteConnection

#: how long a writer waits for its turn, in seconds
WRITE_WAIT_S = 60.0
#: how long SQLite waits for another process that has the file locked
SQLITE_BUSY_S = 30.0
_SETTINGS = ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL")
#: connections that read at the same time
READERS = 4
#: "qdwriter" as a number: the advisory lock that a writer holds on PostgreSQL
WRITER_LOCK = int.from_bytes(b"qdwriter", "big")

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class Engines(NamedTuple):
    """The reading and the writing engine of one database."""

    read: AsyncEngine
    write: AsyncEngine


def parse_url(text: str) -> URL:
    """Return the SQLAlchemy URL of a configured one, with our driver; raise `BadConfig` for an unknown database."""
    hint = "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE."
    try:
        url = sqlalchemy.make_url(text)
    except ArgumentError as error:
        raise BadConfig(f"Expected the URL of a state store, found '{text}'.", hint=hint) from error
    backend = url.drivername.partition("+")[0]
    if backend not in DRIVERS:
        raise BadConfig(f"The state store cannot be kept in '{backend}'.", hint=hint)
    if DRIVERS[backend] == "sqlite+aiosqlite" and not url.database:
        raise BadConfig("The URL of a SQLite state store names no file.", hint=hint)
    return url.set(drivername=DRIVERS[backend])


def create_engines(url: URL, *, sqlite_busy_s: float = SQLITE_BUSY_S) -> Engines:
    """Return both engines of `url`; nothing is opened yet."""
    try:
        return _sqlite(url, sqlite_busy_s) if url.get_backend_name() == "sqlite" else _postgresql(url)
    except (NoSuchModuleError, ImportError) as error:
        raise BadConfig(f"The driver of '{url.drivername}' cannot be loaded: {error}.") from error


def _sqlite(url: URL, busy_s: float) -> Engines:
    """Return engines with WAL and synchronous=FULL: a commit is on disk when it returns and delays no reader."""
    assert url.database is not None
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The folder {folder} of the state store cannot be made: {error.strerror}.") from error
    with suppress(OSError):  # opening the database then reports the reason
        os.close(os.open(url.database, os.O_RDWR | os.O_CREAT, 0o600))  # private, and its WAL gets the same mode
    return Engines(
        _sqlite_engine(url, "BEGIN", connections=READERS, read_only=True, busy_s=busy_s),
        _sqlite_engine(url, "BEGIN IMMEDIATE", connections=1, read_only=False, busy_s=busy_s),
    )


def _sqlite_engine(url: URL, begin: str, *, connections: int, read_only: bool, busy_s: float) -> AsyncEngine:
    async def connect(*_: object, **__: object) -> SqliteConnection:
        assert url.database is not None
        return SqliteConnection(url.database, settings=_SETTINGS, read_only=read_only, busy_s=busy_s)

    engine = create_async_engine(
        url, async_creator=connect, pool_size=connections, max_overflow=0, pool_timeout=WRITE_WAIT_S
    )

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql(begin)  # the driver begins only before the first change

    return engine


def _postgresql(url: URL) -> Engines:
    """Return engines whose reads see one snapshot, and whose writes take the lock first and see all earlier commits."""
    server_settings = {"application_name": "quarterdeck", "lock_timeout": f"{int(WRITE_WAIT_S)}s"}
    write = create_async_engine(
        url,
        pool_size=2,
        max_overflow=0,
        pool_timeout=WRITE_WAIT_S,
        pool_pre_ping=True,
        connect_args={"server_settings": server_settings | {"synchronous_commit": "on"}},
    )
    read = create_async_engine(
        url,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=WRITE_WAIT_S,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        connect_args={"server_settings": server_settings | {"default_transaction_read_only": "on"}},
    )

    @event.listens_for(write.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    return Engines(read, write)
