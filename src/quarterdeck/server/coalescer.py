"""Calls made while one like them runs are run together: one transaction for what a thousand agents say at once.

Owns only the waiting calls. What they do, and which of them fail, is the business of the function they are handed to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from quarterdeck.model.errors import QuarterdeckError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: how long after a round with company the next is expected to have some, and the longest that it waits for it
EXPECT_S, COMPANY_LIMIT_S = 0.1, 0.012


class Coalescer(Generic[Item, Result]):
    """Hands `run` up to `limit` items at a time, in the order of the calls, and gives each caller its result.

    `run` answers one result or error for each item; if it raises, every caller of that round gets the error. With
    `linger_s` a round waits for company before it starts; with `company_s` only where the one before, a moment ago, had
    some, until there are as many, and no longer than that for each: who asks alone does not wait, and of many together
    each costs less.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | QuarterdeckError]]],
        *,
        limit: int = 500,
        linger_s: float = 0.0,
        company_s: float = 0.0,
    ) -> None:
        self._run = run
        self._limit = limit
        self._linger_s = linger_s
        self._company_s = company_s
        self._company = 0  # of the last round with some
        self._company_until = 0.0
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._enough = asyncio.Event()  # as many wait as the last round had
        self._rounds: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """The result of `item`, after the round that it is part of."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._company:
            self._enough.set()
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            await self._linger()
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            try:
                results = await self._run([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - every caller raises it
                results = [error] * len(batch)
            if self._company_s and len(batch) > 1:
                self._company = len(batch)
                self._company_until = asyncio.get_running_loop().time() + EXPECT_S
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # its caller gave up waiting
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def _linger(self) -> None:
        """Waits for company."""
        if self._linger_s:
            await asyncio.sleep(self._linger_s)
        elif len(self._waiting) < self._company and asyncio.get_running_loop().time() < self._company_until:
            self._enough.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(COMPANY_LIMIT_S, self._company_s * self._company)):
                    await self._enough.wait()
