"""What the keeper does later: calls by the clock that nobody sets. Standard library only."""

from __future__ import annotations

import time
from heapq import heappop, heappush

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Calls that are to be made, the earliest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call this after so long."""
        self._count += 1
        heappush(self._waiting, (time.monotonic() + delay_s, self._count, call))

    def run(self) -> None:
        """Make the calls that are due."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            heappop(self._waiting)[2]()

    def waits(self, now: float) -> list[float]:
        """How long until the next one; empty when there is none."""
        return [self._waiting[0][0] - now] if self._waiting else []
