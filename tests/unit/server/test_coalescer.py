"""Calls that are run together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from quarterdeck.kit.tasks import ForeignCancellation
from quarterdeck.model.errors import NotFound, QuarterdeckError
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


async def test_after_a_batch_of_several_the_next_waits_for_as_many() -> None:
    rounds: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        rounds.append(list(items))
        return list(items)

    call = Coalescer[int, int](run, wait_per_call_s=1000.0, wait_limit_s=1000.0)
    assert await call(0) == 0
    assert await call(1) == 1
    await asyncio.gather(call(2), call(3))
    first = asyncio.create_task(call(4))
    for _ in range(5):
        await asyncio.sleep(0)
    assert await asyncio.gather(first, call(5)) == [4, 5]
    assert rounds == [[0], [1], [2, 3], [4, 5]]


async def test_the_wait_for_expected_calls_is_limited() -> None:
    rounds: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        rounds.append(list(items))
        return list(items)

    call = Coalescer[int, int](run, wait_per_call_s=0.001)
    await asyncio.gather(call(1), call(2), call(3))
    assert await asyncio.gather(call(4), call(5)) == [4, 5]
    assert await call(6) == 6
    assert rounds == [[1, 2, 3], [4, 5], [6]]


async def test_a_round_that_is_cancelled_from_within_or_answers_too_little_leaves_nobody_waiting() -> None:
    async def run(items: Sequence[int]) -> Sequence[int | QuarterdeckError]:
        if 0 in items:
            raise asyncio.CancelledError
        return items[1:]

    call = Coalescer[int, int](run)
    with pytest.raises(ForeignCancellation):
        await call(0)
    with pytest.raises(ValueError, match="Expected 1 results"):
        await call(1)
