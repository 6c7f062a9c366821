"""Waiting for the first of several things, or for one thing within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from quarterdeck.kit.tasks import ForeignCancellation, cancel


async def until_first(*awaitables: Awaitable[object]) -> None:
    """Run all until the first ends, cancel the others and wait for them, raise what the first one raised.

    A Future among them is only watched, never cancelled. If the first one is cancelled from elsewhere, raise
    `ForeignCancellation`, because the caller was not cancelled.
    """
    watched = [one for one in awaitables if isinstance(one, asyncio.Future) and not isinstance(one, asyncio.Task)]
    tasks = [asyncio.ensure_future(one) for one in awaitables if one not in watched]
    try:
        done, _ = await asyncio.wait((*tasks, *watched), return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            if future.cancelled():
                raise ForeignCancellation("The awaited operation was cancelled.")
            future.result()
    finally:
        await cancel(*tasks)


async def within(limit_s: float | None, awaitable: Awaitable[object]) -> bool:
    """Wait for `awaitable`, at most `limit_s` seconds (None: without a limit); return whether it ended in time.

    A task of its own that is still running then is cancelled. A TimeoutError that it raises itself is raised.
    """
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            await awaitable
    except TimeoutError:
        if not limit.expired():
            raise
        return False
    return True
