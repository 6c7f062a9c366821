"""Calls that are run together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from quarterdeck.model.errors import NotFound, QuarterdeckError
from quarterdeck.server import coalescer
from quarterdeck.server.coalescer import Coalescer


async def test_calls_made_while_one_runs_are_run_together_in_order() -> None:
    rounds: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        rounds.append(list(items))
        await asyncio.sleep(0.001)
        return [item * 2 for item in items]

    call = Coalescer[int, int](run, limit=4)
    first = asyncio.create_task(call(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(call(number)) for number in range(1, 8)]
    assert await asyncio.gather(first, *rest) == [number * 2 for number in range(8)]
    assert rounds == [[0], [1, 2, 3, 4], [5, 6, 7]]
    assert await call(9) == 18


async def test_each_caller_gets_its_own_error_and_all_get_that_of_the_round() -> None:
    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        if 0 in items:
            raise RuntimeError
        return [NotFound() if item < 0 else item for item in items]

    call = Coalescer[int, int](run)
    results = await asyncio.gather(call(1), call(-1), call(2), return_exceptions=True)
    assert results[0::2] == [1, 2]
    assert isinstance(results[1], NotFound)
    for result in await asyncio.gather(call(0), call(1), return_exceptions=True):
        assert isinstance(result, RuntimeError)
    assert await call(3) == 3


async def test_a_caller_that_gives_up_does_not_disturb_the_others() -> None:
    gate = asyncio.Event()

    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        await gate.wait()
        return list(items)

    call = Coalescer[int, int](run)
    impatient, patient = asyncio.create_task(call(1)), asyncio.create_task(call(2))
    await asyncio.sleep(0)
    impatient.cancel()
    gate.set()
    assert await patient == 2
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_after_a_round_with_company_the_next_waits_for_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalescer, "COMPANY_LIMIT_S", 1000.0)
    rounds: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        rounds.append(list(items))
        return list(items)

    call = Coalescer[int, int](run, company_s=1000.0)
    assert await call(0) == 0
    assert await call(1) == 1
    await asyncio.gather(call(2), call(3))
    first = asyncio.create_task(call(4))
    for _ in range(5):
        await asyncio.sleep(0)
    assert await asyncio.gather(first, call(5)) == [4, 5]
    assert rounds == [[0], [1], [2, 3], [4, 5]]


async def test_company_that_does_not_come_is_not_waited_for_long() -> None:
    rounds: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        rounds.append(list(items))
        return list(items)

    call = Coalescer[int, int](run, company_s=0.001)
    await asyncio.gather(call(1), call(2), call(3))
    assert await asyncio.gather(call(4), call(5)) == [4, 5]
    assert await call(6) == 6
    assert rounds == [[1, 2, 3], [4, 5], [6]]
