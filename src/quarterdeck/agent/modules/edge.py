"""The edge thread: reads buffers and maps of the kernel for all instances.

Owns the schedule. When idle, it sleeps until a buffer wakes it, a map is to be read, or (for programs that wake nobody)
a short time has passed. When busy, it ticks: it looks at the fill levels, and reads a buffer that fills up. When the
oldest waiting row has waited as long as rows may, all waiting rows are sent together, whichever table they are for: on
a quiet host, waking up is the cost, here and in every later thread. How to read is decided by the reader. A reader
that fails is removed and its instance notified; the others are not affected.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.encoder import Encoder
from quarterdeck.agent.modules.losses import KernelLosses
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.streams import URGENT_FILL

#: between two looks at the fill levels while something waits in a buffer, at least and at most, at first; a
#: look costs 0.1 to 0.3 ms of CPU, as the thread must wake up for it
SHORTEST_TICK_S, LONGEST_TICK_S, TICK_S = 0.002, 0.080, 0.010
#: how long records of a program that wakes nobody (BPF_RB_NO_WAKEUP) may wait: the first time, and once one was found
FALLBACK_S, SILENT_FALLBACK_S = 0.250, 0.050
_IDLE_S = 60.0  # with nothing to read
#: collected rows are sent early when they are this many
FLUSH_ROWS = 65_536
FLUSH_BYTES = 4 << 20

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Tap:
    """The readers of one instance. `failed` is called on the edge thread, once, with the error of a reader."""

    readers: tuple[Reader, ...]
    failed: Callable[[Exception], None]
    losses: KernelLosses | None = None
    broken: bool = field(default=False)


class Edge:
    """Starts its thread at once. Call `add` and `remove` from any other thread; `close` removes all remaining taps."""

    def __init__(self, encoder: Encoder, clock: EpochClock, *, flush_interval_s: float = 0.25) -> None:
        self._encoder = encoder
        self._clock = clock
        self._flush_interval_s = flush_interval_s
        self._taps: list[Tap] = []
        self._streams: list[Reader] = []
        self._tick_s = TICK_S
        self._fallback_s = FALLBACK_S
        self._commands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._wake = select.poll()
        self._wake.register(self._wake_fd, select.POLLIN)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)
        self._thread.start()

    def add(self, tap: Tap) -> None:
        """Begin to read; return when the edge thread has the tap."""
        self._command(lambda: self._add(tap))

    def remove(self, tap: Tap) -> None:
        """Read one last time, send everything and stop reading; return when everything has been emitted."""
        self._command(lambda: self._remove(tap))
        self._encoder.settle()

    def close(self) -> None:
        """End the thread; remaining taps are read one last time."""
        for tap in tuple(self._taps):
            self.remove(tap)
        self._closing = True
        os.eventfd_write(self._wake_fd, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._wake_fd)

    def _command(self, action: Callable[[], None]) -> None:
        if self._closing:
            raise RuntimeError("the edge thread has ended")
        done: Future[None] = Future()
        self._commands.append((action, done))
        os.eventfd_write(self._wake_fd, 1)
        done.result()

    # ── on the edge thread ───────────────────────────────────────────────────────────────────────────────────────────
    def _run(self) -> None:
        while not self._closing:
            self._sleep()
            self._obey()
            now_s = time.monotonic()
            leaving = self._leaves_s() <= now_s
            for tap in self._taps:
                if not tap.broken:
                    self._serve(tap, now_s, leaving=leaving)
            self._encoder.flush(*(each for each in self._readers() if _leaves(each, leaving=leaving)))

    def _sleep(self) -> None:
        """Wait until something is due; the module's docstring describes the schedule."""
        fill = self._fill()  # before the deadline, which is infinite when nothing waits: what comes later wakes epoll
        now_s = time.monotonic()
        left_s = self._deadline(now_s) - now_s
        if left_s <= 0:
            return
        if not fill:
            self._tick_s = TICK_S
            if not self._epoll.poll(min(left_s, self._fallback_s if self._streams else _IDLE_S)) and self._fill():
                self._fallback_s = SILENT_FALLBACK_S
            return
        # A ring that is not empty stays readable, so epoll would not wait: look at the fill levels now and then, the
        # more often the faster they rise.
        until_s = now_s + left_s
        while left_s > 0 and fill < URGENT_FILL and not self._wake.poll(1000 * min(self._tick_s, left_s)):
            before, fill = fill, self._fill()
            factor = min(2.0, URGENT_FILL / max(fill - before, 1e-9))
            self._tick_s = min(LONGEST_TICK_S, max(SHORTEST_TICK_S, self._tick_s * factor))
            left_s = until_s - time.monotonic()

    def _fill(self) -> float:
        """Return how full the fullest buffer is."""
        return max([reader.fill for reader in self._streams], default=0.0)

    def _deadline(self, now_s: float) -> float:
        """Return the monotonic time at which something is due."""
        due_s = min((reader.due(now_s) for reader in self._readers()), default=float("inf"))
        return min(due_s, self._leaves_s())

    def _leaves_s(self) -> float:
        """Return the monotonic time at which the oldest waiting row must be sent."""
        waiting = [reader.waiting_since_s for reader in self._readers() if reader.waiting_since_s is not None]
        return min(waiting) + self._flush_interval_s if waiting else float("inf")

    def _obey(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        while self._commands:
            action, done = self._commands.popleft()
            try:
                action()
            except BaseException as error:  # noqa: BLE001 - belongs to the thread that asked
                done.set_exception(error)
            else:
                done.set_result(None)

    def _serve(self, tap: Tap, now_s: float, *, leaving: bool) -> None:
        try:
            for reader in tap.readers:
                if reader.due(now_s) <= now_s or (leaving and reader.fill):
                    self._read(reader, now_s, last=False)
            if tap.losses is not None and now_s >= tap.losses.next_s:
                tap.losses.check(now_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this instance and no other
            self._break(tap, error)

    def _read(self, reader: Reader, now_s: float, *, last: bool) -> None:
        began_ns = time.thread_time_ns()
        self._clock.measure()
        try:
            reader.read(now_s, last=last)
        finally:
            reader.counts.agent_ns += time.thread_time_ns() - began_ns

    def _add(self, tap: Tap) -> None:
        for reader in tap.readers:
            for fd in reader.fds:
                self._epoll.register(fd, select.EPOLLIN)
        self._taps.append(tap)
        self._find_streams()

    def _remove(self, tap: Tap) -> None:
        if tap not in self._taps:
            return
        self._taps.remove(tap)
        self._find_streams()
        self._unregister(tap)
        for reader in tap.readers:
            try:
                self._read(reader, time.monotonic(), last=True)
            except Exception as error:  # noqa: BLE001 - it is over anyway; what was not read is counted
                log.warning("the last reading of %s failed: %s", reader.table.name, error)
                reader.abandon(str(error))
        if tap.losses is not None:
            tap.losses.check()
        self._encoder.flush(*tap.readers)

    def _break(self, tap: Tap, error: Exception) -> None:
        log.warning("reading %s failed: %s", tap.readers[0].module, error, exc_info=error)
        self._unregister(tap)  # nothing reads its buffers now, so they would always be ready
        tap.broken = True
        self._find_streams()
        tap.failed(error)

    def _unregister(self, tap: Tap) -> None:
        for fd in (fd for reader in tap.readers for fd in reader.fds if not tap.broken):
            self._epoll.unregister(fd)

    def _find_streams(self) -> None:
        """Remember the readers that have buffers to watch."""
        self._streams = [reader for reader in self._readers() if reader.fds]

    def _readers(self) -> list[Reader]:
        return [reader for tap in self._taps if not tap.broken for reader in tap.readers]


def _leaves(reader: Reader, *, leaving: bool) -> bool:
    if reader.waiting_since_s is None:
        return False
    return leaving or reader.pile.rows >= FLUSH_ROWS or reader.pile.size_bytes >= FLUSH_BYTES
