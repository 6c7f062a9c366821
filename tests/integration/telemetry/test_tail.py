"""Tails: rows as they are stored, none twice, none missed, and resumed by a cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quarterdeck.model.errors import BadQuery, NotFound
from quarterdeck.model.queries import TailRows
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.tail import PAGE_ROWS, Tail
from tests.telemetry import agent, batch, execs


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
    await ingest.accept(agent(), batch(execs(5), 5, seq=0))
    rows = await tail.open("execs")
    await ingest.accept(agent(), batch(execs(3, first=10), 3, seq=1))
    assert (await pids(rows, 3))[0] == [10, 11, 12]
    later = asyncio.ensure_future(pids(rows, 2))
    await asyncio.sleep(0.05)
    await ingest.accept(agent(), batch(execs(2, first=20), 2, seq=2))
    assert (await later)[0] == [20, 21]


async def test_a_condition_and_pages(tail: Tail, ingest: Ingest) -> None:
    rows = await tail.open("execs", where="pid % 2 = 1 -- odd")
    count = 3 * PAGE_ROWS
    await ingest.accept(agent(), batch(execs(count), count))
    assert (await pids(rows, count // 2))[0] == list(range(1, count, 2))


async def test_a_cursor_resumes_without_gap_or_repeat(tail: Tail, ingest: Ingest) -> None:
    rows = await tail.open("execs")
    count = PAGE_ROWS + 10
    await ingest.accept(agent(), batch(execs(count), count, seq=0))
    seen, cursor = await pids(rows, PAGE_ROWS)
    await rows.aclose()  # type: ignore[attr-defined]
    await ingest.accept(agent(), batch(execs(5, first=count), 5, seq=1))
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
