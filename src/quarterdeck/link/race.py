"""Several things that live and die together, as the halves of a link do: the first to end ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def until_first(*awaitables: Awaitable[object]) -> None:
    """Run all until the first ends, cancel the others and wait for them, raise what the first one raised.

    A Future among them is only watched, never cancelled.
    """
    watched = [one for one in awaitables if isinstance(one, asyncio.Future) and not isinstance(one, asyncio.Task)]
    tasks = [asyncio.ensure_future(one) for one in awaitables if one not in watched]
    try:
        done, _ = await asyncio.wait((*tasks, *watched), return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
