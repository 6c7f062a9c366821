"""An event loop whose clock runs faster than the host's: what waits for time waits less, and in the same order."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _FastSelector(selectors.DefaultSelector):
    """Waits a shorter time than it is asked to."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        return super().select(None if timeout is None else timeout / self._speed)


class FastLoop(asyncio.SelectorEventLoop):
    """Its clock runs `speed` times as fast as the host's. The loop of `asyncio.Runner(loop_factory=…)`."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(_FastSelector(speed))

    def time(self) -> float:
        return super().time() * self._speed
