"""The store finds what each job needs by keys: the cost is the same after many jobs as after one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import JobState
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.store.state import jobs, offers
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import StoredCommand

KEY = NodeKey(1, 1)
Ask = Callable[[AsyncConnection, int], Awaitable[object]]


def stored(number: int) -> StoredCommand:
    return StoredCommand(
        id=f"c{number}", cmd="ping", args={}, data="", selector=Selector(), actor="olga", role="admin", create_time=1.0
    )


async def steps(transaction: AsyncConnection, ask: Ask, number: int) -> int:
    """Return how many instructions of SQLite's machine the work takes."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    assert transaction.sync_connection is not None
    driver = transaction.sync_connection.connection.driver_connection
    assert driver is not None
    driver._conn.set_progress_handler(count, 1)
    await ask(transaction, number)
    driver._conn.set_progress_handler(None, 1)
    return counted


async def add(transaction: AsyncConnection, numbers: range) -> None:
    await jobs.add_all(transaction, [(stored(number), {KEY: "web-1"}) for number in numbers], here={KEY})


async def report(transaction: AsyncConnection, number: int) -> None:
    named = await offers.find_named(transaction, KEY, [f"c{number}", *map(str, range(15))])
    assert list(named) == [f"c{number}"]


async def offer(transaction: AsyncConnection, number: int) -> None:
    found = await offers.find_offers(transaction, KEY, after=0, limit=64)
    assert [each.command.id for each in found] == [f"c{number}"]
    await offers.set_offered(transaction, found)


async def kill(transaction: AsyncConnection, number: int) -> None:
    del number
    assert await offers.find_killed(transaction, KEY) == []


async def end(transaction: AsyncConnection, number: int) -> None:
    row = (await offers.find_named(transaction, KEY, [f"c{number}"]))[f"c{number}"].row
    await jobs.save(transaction, [msgspec.structs.replace(row, state=JobState.OK)], now=2.0)
    assert [each.id for each in await jobs.end(transaction, [row.command], now=2.0)] == [f"c{number}"]
    assert await jobs.count_states(transaction, [row.command]) == {row.command: {JobState.OK: 1}}


@pytest.mark.parametrize("ask", [report, offer, kill, end])
async def test_a_job_costs_the_same_however_many_were_before(database: Database, ask: Ask) -> None:
    many = 400
    async with database.write() as transaction:
        await add(transaction, range(1, 2))
        first = await steps(transaction, ask, 1)
        await end(transaction, 1) if ask is not end else None
        await add(transaction, range(2, many))
        for number in range(2, many):
            await end(transaction, number)
        await add(transaction, range(many, many + 1))
        last = await steps(transaction, ask, many)
    assert last < 1.5 * first + 50
