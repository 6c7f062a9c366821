"""until_first: what lives and dies together."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.link.race import until_first


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
