"""Background tasks: own and foreign cancellation."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.kit.tasks import ForeignCancellation, finish, own_cancellation


async def test_a_cancellation_is_told_from_one_of_what_is_waited_for() -> None:
    future = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        with own_cancellation():
            await future

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert future.cancelled()
    with pytest.raises(ForeignCancellation):
        await wait()


async def test_work_that_must_finish_is_waited_for_although_the_caller_is_cancelled() -> None:
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    caller = asyncio.create_task(finish(work))
    await asyncio.sleep(0)
    caller.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not caller.done()
    assert not work.cancelled()
    work.set_result(None)
    await asyncio.wait({caller})
    assert caller.cancelled()
