"""The SQLite connection: short statements run at once; long or waiting ones do not block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import text

from quarterdeck.model.errors import Unavailable
from quarterdeck.store.state import sqlite
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.engines import create_engines, parse_url
from tests.state import sqlite_url

#: counts to ten million: about a second
LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    opened = await Database.open(sqlite_url(tmp_path))
    yield opened
    await opened.close()


async def test_a_long_read_lets_others_work_meanwhile_and_gives_its_answer(database: Database) -> None:
    async with database.read() as transaction:
        asked = asyncio.create_task(transaction.scalar(text(LONG.format(3_000_000))))
        turns = 0
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert await asked == 3_000_000
        assert turns > 10
        assert await transaction.scalar(text("SELECT count(*) FROM node")) == 0


async def test_a_read_sees_one_state_though_its_second_statement_is_long(database: Database) -> None:
    async with database.read() as reading:
        assert await reading.scalar(text("SELECT count(*) FROM grid")) == 0
        async with database.write() as writing:
            await writing.execute(text("INSERT INTO grid VALUES (7, 1)"))
        assert await reading.scalar(text(f"SELECT count(*) + ({LONG.format(300_000)}) FROM grid")) == 300_000


async def test_a_file_that_another_process_has_locked_is_waited_for_elsewhere(
    database: Database, tmp_path: Path
) -> None:
    async def write() -> None:
        async with database.write() as transaction:
            await transaction.execute(text("INSERT INTO grid VALUES (7, 1)"))

    other = sqlite3.connect(sqlite_url(tmp_path).removeprefix("sqlite:///"), isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(write())
        for _ in range(100):
            await asyncio.sleep(0)  # the loop turns
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
        assert other.execute("SELECT count(*) FROM grid").fetchone() == (1,)


async def test_a_lock_that_stays_is_an_error_in_words(tmp_path: Path) -> None:
    await (await Database.open(sqlite_url(tmp_path))).close()
    url = parse_url(sqlite_url(tmp_path))
    database = Database(url, create_engines(url, sqlite_busy_s=0.05))
    other = sqlite3.connect(sqlite_url(tmp_path).removeprefix("sqlite:///"), isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            async with database.write():
                pass
        other.execute("ROLLBACK")
    async with database.write() as transaction:
        await transaction.execute(text("INSERT INTO grid VALUES (7, 1)"))
    await database.close()


async def test_who_gives_up_during_a_commit_leaves_a_connection_that_works(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    commit = sqlite.Connection.commit

    async def slow(connection: sqlite.Connection) -> None:
        begun.set()
        await go_on.wait()
        await commit(connection)

    async def write() -> None:
        async with database.write() as transaction:
            await transaction.execute(text("INSERT INTO grid VALUES (7, 1)"))

    monkeypatch.setattr(sqlite.Connection, "commit", slow)
    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await write()
    async with database.read() as transaction:
        assert await transaction.scalar(text("SELECT count(*) FROM grid")) == 1


async def test_a_connection_that_is_closed_in_both_ways_is_closed_once(tmp_path: Path) -> None:
    connection = sqlite.Connection(str(tmp_path / "state.db"), settings=(), read_only=False, busy_s=1)
    working = asyncio.create_task(connection.cursor().execute(LONG.format(300_000)))
    closing = asyncio.create_task(connection.close())
    await asyncio.gather(working, closing, return_exceptions=True)
    connection.stop()
    await connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await connection.run(lambda: connection._conn.execute("SELECT 1"))


async def test_nobody_else_on_the_machine_can_read_it(database: Database, tmp_path: Path) -> None:
    async with database.write() as transaction:
        await transaction.execute(text("UPDATE node SET name = name"))
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.db*")}  # noqa: ASYNC240
    assert len(files) >= 2, "the file and its WAL"
    assert set(files.values()) == {0o600}
