"""The agent's parts, each on its own: one that crashes is restarted with backoff; the others never notice."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 60.0


class Components:
    """Runs parts for ever, until `stop`."""

    def __init__(self, *, backoff_s: float = BACKOFF_BASE_S) -> None:
        self._backoff_s = backoff_s
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part; called again whenever it ends or crashes."""
        self._tasks[name] = asyncio.create_task(self._keep(name, run), name=name)

    async def stop(self) -> None:
        """Cancel every part and wait until it is gone."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        wait = self._backoff_s
        while True:
            began = time.monotonic()
            try:
                await run()
                log.warning("the agent's part '%s' ended; it starts again in %.0f s", name, wait)
            except Exception:
                log.exception("the agent's part '%s' crashed; it starts again in %.0f s", name, wait)
            if time.monotonic() - began > BACKOFF_CAP_S:
                wait = self._backoff_s
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACKOFF_CAP_S)
