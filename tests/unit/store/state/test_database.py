"""The guarantees of the state store on SQLite and PostgreSQL: atomic transactions, one writer at a time, its tables."""

from __future__ import annotations

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select, text, update

from quarterdeck.model.errors import BadConfig, Unavailable
from quarterdeck.store.state import nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schema import audit, grid, metadata

ENTRY = {"time": 1.0, "actor": "a", "role": "admin", "action": "x", "target": "t", "result": "ok", "detail": ""}


async def count(database: Database) -> int:
    async with database.read() as transaction:
        return (await transaction.execute(select(func.count()).select_from(audit))).scalar_one()


async def test_migrations_make_exactly_the_tables_of_the_schema(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, metadata)

    async with database.read() as transaction:
        assert await transaction.run_sync(differences) == []


async def test_a_second_open_finds_what_was_written(database: Database, state_url: str) -> None:
    async with database.write() as transaction:
        await transaction.execute(insert(audit).values(ENTRY))
    other = await Database.open(state_url)
    assert await count(other) == 1
    await other.close()


async def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as transaction:
            await transaction.execute(insert(audit).values(ENTRY))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await count(database) == 0


async def test_fifty_writers_at_once_all_succeed_and_none_is_lost(database: Database) -> None:
    async def write() -> None:
        async with database.write() as transaction:
            await transaction.execute(insert(audit).values(ENTRY))
            await asyncio.sleep(0)
            await nodes.allocate(transaction, 1)

    await asyncio.gather(*(write() for _ in range(50)))
    assert await count(database) == 50
    async with database.read() as transaction:
        assert (await transaction.execute(select(grid.c.next_nid))).scalar_one() == 51


async def test_a_read_then_write_sees_no_other_writer_between(database: Database) -> None:
    async def increment() -> None:
        async with database.write() as transaction:
            seen = (await transaction.execute(select(grid.c.next_nid).where(grid.c.gid == 7))).scalar_one()
            await asyncio.sleep(0.001)
            await transaction.execute(update(grid).where(grid.c.gid == 7).values(next_nid=seen + 1))

    async with database.write() as transaction:
        await transaction.execute(insert(grid).values(gid=7, next_nid=0))
    await asyncio.gather(*(increment() for _ in range(20)))
    async with database.read() as transaction:
        assert (await transaction.execute(select(grid.c.next_nid))).scalar_one() == 20


async def test_writers_that_give_up_leave_the_store_usable(database: Database) -> None:
    async def write() -> None:
        async with database.write() as transaction:
            await transaction.execute(insert(audit).values(ENTRY))
            await asyncio.sleep(0.005)

    for _ in range(5):
        tasks = [asyncio.create_task(write()) for _ in range(20)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    before = await count(database)
    await write()
    assert await count(database) == before + 1


async def test_a_closed_store_stays_closed(database: Database) -> None:
    await database.close()
    with pytest.raises(Unavailable, match="stopping"):
        await count(database)
    with pytest.raises(Unavailable, match="stopping"):
        async with database.write():
            pass
    await database.close()


async def test_readers_go_on_while_a_writer_writes(database: Database) -> None:
    async with database.write() as transaction:
        await transaction.execute(insert(audit).values(ENTRY))
        assert await count(database) == 0
    assert await count(database) == 1


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"):
        async with database.read() as transaction:
            await transaction.execute(insert(audit).values(ENTRY))


async def test_a_store_of_a_newer_version_is_refused_in_words(database: Database, state_url: str) -> None:
    async with database.write() as transaction:
        await transaction.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="newer Quarterdeck"):
        await Database.open(state_url)


@pytest.mark.parametrize("url", ["", "no url", "oracle://x/y", "sqlite://", "mysql://root@127.0.0.1/x"])
async def test_urls_of_no_store_of_ours_are_refused(url: str) -> None:
    with pytest.raises(BadConfig):
        await Database.open(url)


async def test_a_database_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="/proc/nothing"):
        await Database.open("sqlite:////proc/nothing/state.db")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        await Database.open("postgresql://someone:secret@127.0.0.1:1/x")
