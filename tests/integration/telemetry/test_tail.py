"""Tails: rows as they are stored, none twice, none missed, and resumed by a cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quarterdeck.model.errors import BadQuery, NotFound
from quarterdeck.model.queries import TailRows
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import PAGE_ROWS, Tail
from tests.telemetry import ALL_TYPES, agent, batch, body_of, every_value, execs


async def pids(rows: AsyncIterator[TailRows], count: int) -> tuple[list[object], str]:
    """The process ids of the next rows, and the cursor behind them."""
    found: list[object] = []
    cursor = ""
    while len(found) < count:
        page = await asyncio.wait_for(anext(rows), 20)
        at = [column.name for column in page.columns].index("pid")
        found += [row[at] for row in page.rows]
        cursor = page.cursor
    return found, cursor


async def test_rows_come_as_they_are_stored(tail: Tail, ingest: Ingest) -> None:
    await ingest.accept(from_agent(agent(), batch(execs(5), 5, seq=0)))
    rows = await tail.open("execs")
    await ingest.accept(from_agent(agent(), batch(execs(3, first=10), 3, seq=1)))
    assert (await pids(rows, 3))[0] == [10, 11, 12]
    later = asyncio.ensure_future(pids(rows, 2))
    await asyncio.sleep(0.05)
    await ingest.accept(from_agent(agent(), batch(execs(2, first=20), 2, seq=2)))
    assert (await later)[0] == [20, 21]


async def test_a_condition_and_pages(tail: Tail, ingest: Ingest) -> None:
    rows = await tail.open("execs", where="pid % 2 = 1 -- odd")
    count = 3 * PAGE_ROWS
    await ingest.accept(from_agent(agent(), batch(execs(count), count)))
    assert (await pids(rows, count // 2))[0] == list(range(1, count, 2))


async def test_a_cursor_resumes_without_gap_or_repeat(tail: Tail, ingest: Ingest) -> None:
    rows = await tail.open("execs")
    count = PAGE_ROWS + 10
    await ingest.accept(from_agent(agent(), batch(execs(count), count, seq=0)))
    seen, cursor = await pids(rows, PAGE_ROWS)
    await rows.aclose()  # type: ignore[attr-defined]
    await ingest.accept(from_agent(agent(), batch(execs(5, first=count), 5, seq=1)))
    rest, _ = await pids(await tail.open("execs", cursor=cursor), 15)
    assert [*seen, *rest] == list(range(count + 5))
    assert tail._followers == set() or len(tail._followers) == 1


async def test_what_is_wrong_is_said_before_the_first_row(tail: Tail) -> None:
    with pytest.raises(NotFound, match="nope"):
        await tail.open("nope")
    for where in ("pid = 'x'", "no_column = 1", "1) OR file('/etc/passwd') = ('", "1 FROM system.one"):
        with pytest.raises(BadQuery):
            await tail.open("execs", where=where)
    with pytest.raises(BadQuery, match="cursor"):
        await tail.open("execs", cursor="1; DROP")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("c_enum != 1", ["MINUS_TWO", "9"]),
        ("c_enum = 'ONE'", ["ONE"]),
        ("c_enum = -2 OR c_enum = 9", ["MINUS_TWO", "9"]),
        ("1 = c_enum", ["ONE"]),
        ("c_enum IN (1, 9) AND c_int8 >= 0", ["ONE", "9"]),
        ("c_enum NOT IN (1)", ["MINUS_TWO", "9"]),
        ("c_enum IN ('ONE', -2)", ["ONE", "MINUS_TWO"]),
        ("NOT (c_enum != 1)", ["ONE"]),
        ("c_enum IS DISTINCT FROM 1", ["MINUS_TWO", "9"]),
    ],
)
async def test_an_enum_is_compared_with_names_and_numbers(
    tail: Tail, tables: Tables, ingest: Ingest, where: str, found: list[str]
) -> None:
    await tables.ensure(ALL_TYPES)
    rows = await tail.open(ALL_TYPES.name, where=where)
    await ingest.accept(from_agent(agent(), batch(body_of(ALL_TYPES, every_value(3)), 3, table=ALL_TYPES)))
    async with asyncio.timeout(20):
        page = await anext(rows)
    at = [column.name for column in page.columns].index("c_enum")
    assert sorted(str(row[at]) for row in page.rows) == sorted(found)


async def test_enums_cannot_be_compared_by_order_in_a_tail(tail: Tail, tables: Tables) -> None:
    await tables.ensure(ALL_TYPES)
    with pytest.raises(BadQuery, match="an enum, which has no order"):
        await tail.open(ALL_TYPES.name, where="c_enum > 1")
