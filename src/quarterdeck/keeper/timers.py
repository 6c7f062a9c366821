"""Calls that the keeper makes later, by the monotonic clock. Standard library only."""

from __future__ import annotations

import time
from heapq import heappop, heappush

from quarterdeck.keeper.log import note

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

#: how long after an error of the system a call is repeated
RETRY_S = 0.5


class Timers:
    """The calls that are to be made, the earliest first."""

    def __init__(self, *, retry_s: float = RETRY_S) -> None:
        self.retry_s = retry_s
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call this after the delay, and again as long as the system refuses what it does."""
        self._count += 1
        heappush(self._waiting, (time.monotonic() + delay_s, self._count, call))

    def again(self, call: Callable[[], None]) -> None:
        """Call this after `retry_s`, because the system has refused what it does."""
        self.later(self.retry_s, call)

    def run(self) -> None:
        """Make the calls that are due."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            call = heappop(self._waiting)[2]
            try:
                call()
            except Exception as error:  # noqa: BLE001 (no error may end the programs)
                note(f"{call.__qualname__}: {error!r}; it is tried again")
                self.again(call)

    def waits(self, now: float) -> list[float]:
        """Return the time until the next timer; empty without one."""
        return [self._waiting[0][0] - now] if self._waiting else []
