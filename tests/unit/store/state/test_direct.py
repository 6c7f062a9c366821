"""A statement sent straight to the driver has the same text and results as through SQLAlchemy."""

from __future__ import annotations

import pytest
from sqlalchemy import Integer, bindparam, func, insert, select, update

from quarterdeck.model.errors import StorageFull
from quarterdeck.model.nodes import Selector
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.schema import command

ADD = Direct(insert(command))
COLUMNS = [command.c.number, command.c.id, command.c.args, command.c.data, command.c.selector, command.c.ended_at]
LISTED = select(*COLUMNS).where(
    command.c.number.in_(bindparam("numbers", type_=Integer(), expanding=True)), command.c.cmd == "ping"
)


def row(number: int, data: str = "") -> dict[str, object]:
    return {
        "number": number,
        "id": f"c{number}",
        "cmd": "ping",
        "args": {"n": number, "text": "é\0"},
        "data": data,
        "selector": Selector(labels={"role": "web"}),
        "actor": "olga",
        "role": "admin",
        "create_time": 1.5,
        "expires_at": None,
        "ended_at": None,
        "script": None,
    }


async def test_rows_are_those_that_sqlalchemy_gives(database: Database) -> None:
    async with database.write() as transaction:
        await ADD.run(transaction, [row(1, "one\0two"), row(2), row(3)])
        await ADD.run(transaction, [])
    async with database.read() as transaction:
        for numbers in ([], [2], [1, 2, 3, 4]):
            theirs = [tuple(each) for each in await transaction.execute(LISTED, {"numbers": numbers})]
            assert sorted(await Direct(LISTED).find(transaction, {"numbers": numbers})) == sorted(theirs)
        (found,) = await Direct(LISTED).find_named(transaction, {"numbers": [1]})
    assert (found["args"], found["data"], found["selector"]) == (
        {"n": 1, "text": "é\0"},
        "one\0two",
        Selector(labels={"role": "web"}),
    )


async def test_a_change_gives_back_what_it_changed_and_goes_with_its_transaction(database: Database) -> None:
    end = Direct(
        update(command)
        .where(command.c.number == bindparam("which"))
        .values(ended_at=bindparam("now"))
        .returning(command.c.id, command.c.ended_at)
    )
    count = Direct(select(func.count(command.c.ended_at)))
    async with database.write() as transaction:
        await ADD.run(transaction, [row(1), row(2)])
    with pytest.raises(StorageFull):  # noqa: PT012
        async with database.write() as transaction:
            assert await end.find_named(transaction, {"which": 2, "now": 7.0}) == [{"id": "c2", "ended_at": 7.0}]
            assert await count.find(transaction, {}) == [(1,)]
            raise StorageFull("as the disk would say")
    async with database.read() as transaction:
        assert await count.find(transaction, {}) == [(0,)]


async def test_a_read_sees_one_state_of_the_store(database: Database) -> None:
    count = Direct(select(func.count(command.c.number)))
    async with database.read() as reading:
        assert await count.find(reading, {}) == [(0,)]
        async with database.write() as writing:
            await ADD.run(writing, [row(1)])
        assert await count.find(reading, {}) == [(0,)]
    async with database.read() as reading:
        assert await count.find(reading, {}) == [(1,)]
