"""Coalescing of calls: those made during a batch form the next one, such as one transaction for many agents.

Owns only the waiting calls. It never decides what they do or which of them fail: the function that runs a batch does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from quarterdeck.kit.race import within
from quarterdeck.kit.tasks import own_cancellation
from quarterdeck.model.errors import QuarterdeckError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: how long after a batch of several calls the next one waits for as many, and the longest that it waits
EXPECT_S, WAIT_LIMIT_S = 0.1, 0.012


class Coalescer(Generic[Item, Result]):
    """Passes up to `limit` items at a time to `run`, in the order of the calls, and returns its result to each caller.

    `run` returns one result or error for each item; if it raises, every caller of that batch gets the error. With
    `linger_s`, each batch waits that long before it starts. With `wait_per_call_s`, a batch waits only if the previous
    one, at most `EXPECT_S` ago, had several calls: until there are as many, but at most that time for each of them, and
    `wait_limit_s` in all. So a single caller does not wait, and many concurrent calls share the cost of a batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | QuarterdeckError]]],
        *,
        limit: int = 500,
        linger_s: float = 0.0,
        wait_per_call_s: float = 0.0,
        wait_limit_s: float = WAIT_LIMIT_S,
    ) -> None:
        self._run = run
        self._limit = limit
        self._linger_s = linger_s
        self._wait_per_call_s = wait_per_call_s
        self._wait_limit_s = wait_limit_s
        self._expected = 0  # calls in the last batch of several
        self._expected_until = 0.0
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._enough = asyncio.Event()  # `_expected` calls are waiting
        self._batches: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Run a batch that contains `item`, and return the result of `item`."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._expected:
            self._enough.set()
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            await self._linger()
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            try:
                with own_cancellation():
                    results = list(await self._run([item for item, _ in batch]))
                if len(results) != len(batch):
                    raise ValueError(f"Expected {len(batch)} results, found {len(results)}.")
            except Exception as error:  # noqa: BLE001 (each caller raises it)
                results = [error] * len(batch)
            if self._wait_per_call_s and len(batch) > 1:
                self._expected = len(batch)
                self._expected_until = asyncio.get_running_loop().time() + EXPECT_S
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # its caller was cancelled
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def _linger(self) -> None:
        """Wait for further calls, if they are expected."""
        if self._linger_s:
            await asyncio.sleep(self._linger_s)
        elif len(self._waiting) < self._expected and asyncio.get_running_loop().time() < self._expected_until:
            self._enough.clear()
            await within(min(self._wait_limit_s, self._wait_per_call_s * self._expected), self._enough.wait())
