"""Parts of a process: each has a name, starts, runs and closes.

A process registers its parts while it is put together, those that others use first. They close in the opposite order,
so a part is there for as long as anything uses it. A run that ends or crashes is restarted without affecting the other
parts (`keep`). This module never decides what a part does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from quarterdeck.kit.tasks import BACKOFF_BASE_S, Work, cancel, keep

Step = Callable[[], Awaitable[object]]


@dataclass
class _Part:
    name: str
    start: Step | None
    run: Work | None
    close: Step | None
    once: bool
    started: bool = False  # its start was called, whatever came of it
    task: asyncio.Task[None] | None = None

    async def end_run(self) -> None:
        if self.task is not None:
            await cancel(self.task)


class Parts:
    """The parts of one process, in the order of their registration."""

    def __init__(self, *, backoff_s: float = BACKOFF_BASE_S) -> None:
        self._backoff_s = backoff_s
        self._parts: list[_Part] = []

    def add(
        self,
        name: str,
        *,
        start: Step | None = None,
        run: Work | None = None,
        close: Step | None = None,
        once: bool = False,
    ) -> None:
        """Register a part.

        `start` is awaited once; its error ends the start of all. `run` is kept running; with `once`, until it has
        returned. `close` is called after the run has ended, also if `start` failed, but not before it was called.
        """
        self._parts.append(_Part(name, start, run, close, once))

    async def start(self) -> None:
        """Start all parts in order, then let them run. If one fails to start, close all and raise its error."""
        try:
            for part in self._parts:
                if part.start is not None and not part.started:
                    part.started = True
                    await part.start()
        except BaseException:
            await self.close()
            raise
        for part in self._parts:
            if part.run is not None and part.task is None:
                kept = keep(part.name, part.run, once=part.once, backoff_s=self._backoff_s)
                part.task = asyncio.create_task(kept, name=f"{part.name}, kept")

    async def close(self) -> None:
        """End and close all parts, the last registered first. An error of one does not keep the others open."""
        parts, self._parts = self._parts, []
        async with AsyncExitStack() as closing:
            for part in parts:
                if part.close is not None and (part.started or part.start is None):
                    closing.push_async_callback(part.close)
                closing.push_async_callback(part.end_run)
