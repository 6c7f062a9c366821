"""until_first: tasks that end together."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.kit.race import until_first, within
from quarterdeck.kit.tasks import ForeignCancellation


async def test_the_first_to_end_ends_all_and_the_others_are_cleaned_up() -> None:
    cleaned = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    await until_first(forever(), asyncio.sleep(0))
    assert cleaned.is_set()


async def test_what_the_first_raises_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await until_first(asyncio.sleep(60), fail())


async def test_a_future_is_watched_and_never_cancelled() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await until_first(asyncio.sleep(0), future)
    assert not future.done()
    future.set_result(None)
    await until_first(asyncio.sleep(60), future)


async def test_one_that_is_cancelled_from_elsewhere_is_an_error_not_the_end_of_who_waits() -> None:
    async def given_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ForeignCancellation, match="was cancelled"):
        await until_first(given_up(), asyncio.sleep(60))


async def test_what_ends_within_the_limit_is_told_from_what_does_not() -> None:
    news = asyncio.Event()
    assert not await within(0, news.wait())
    news.set()
    assert await within(60, news.wait())
    assert await within(None, news.wait())


async def test_a_timeout_of_the_work_itself_is_raised() -> None:
    async def work() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await within(60, work())
