"""Background tasks that are restarted when they end, and the difference between own and foreign cancellation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from quarterdeck.kit.backoff import Backoff

log = logging.getLogger(__name__)

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 60.0

Work = Callable[[], Coroutine[Any, Any, None]]


class ForeignCancellation(Exception):
    """The awaited operation was cancelled from elsewhere; the task that waited was not."""


def is_cancelled() -> bool:
    """Return whether the running task was asked to end; else a CancelledError comes from what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def own_cancellation() -> Generator[None]:
    """Let a CancelledError through only if it is meant for the running task; else raise `ForeignCancellation`."""
    try:
        yield
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise ForeignCancellation("The awaited operation was cancelled.") from error


async def noticed(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in a task group, which would otherwise take a cancellation from within for a wanted end."""
    with own_cancellation():
        await work


async def keep(name: str, work: Work, *, once: bool = False, backoff_s: float = BACKOFF_BASE_S) -> None:
    """Run `work` repeatedly: when it raises or is cancelled from within, and, unless `once`, when it returns.

    Each end is logged and followed by a growing pause. Only a cancellation of the caller ends this.
    """
    backoff, failures = Backoff(backoff_s, BACKOFF_CAP_S, spread=0.0), 0
    while True:
        began = time.monotonic()
        task = asyncio.create_task(work(), name=name)
        try:
            await asyncio.wait({task})
        finally:
            await cancel(task)  # the caller was cancelled to end the work
        error = None if task.cancelled() else task.exception()
        if once and error is None and not task.cancelled():
            return
        if time.monotonic() - began > BACKOFF_CAP_S:
            failures = 0
        wait_s = backoff.pause_s(failures)
        how = "was cancelled from within" if task.cancelled() else "crashed" if error else "ended"
        level = logging.WARNING if how == "ended" else logging.ERROR
        log.log(level, "the part '%s' %s; it starts again in %.0f s", name, how, wait_s, exc_info=error)
        await asyncio.sleep(wait_s)
        failures += 1


class TaskSet:
    """Tasks of one owner that come and go: each is held until it has ended, and all can be ended together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(tuple(self._tasks))

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str | None = None) -> None:
        """Start a task."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self, *, limit_s: float | None = None) -> None:
        """Wait until those that run now have ended, at most `limit_s` seconds. None is cancelled."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=limit_s)

    async def cancel(self) -> None:
        """Cancel every task and wait until it has ended."""
        await cancel(*self._tasks)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these tasks and wait until each has ended, whatever it raises then."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def finish(work: asyncio.Future[Any]) -> None:
    """Wait until `work` has ended, also when the caller is cancelled meanwhile: its cancellation is raised afterwards.

    For what must not be left half done, such as a call in a thread, which nothing can interrupt.
    """
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        if not work.done():
            await asyncio.wait({work})
        raise
