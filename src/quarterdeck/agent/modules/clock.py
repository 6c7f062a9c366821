"""Readings of the kernel's clocks as nanoseconds since the epoch, a column at a time.

It owns the offsets between the clocks, measured anew at each reading, and remembers the last time one of them jumped
(the host slept, someone set the date), so that what was recorded before the jump keeps the time it had. It never asks
the kernel about single rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: names as the manifest has them → the clock the program read
CLOCKS = {"ktime": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME, "tai": time.CLOCK_TAI}
JUMP_NS = 10_000_000  #: a change this large is a jump; less is the clock being slewed


@dataclass(slots=True)
class _Offset:
    """What to add to a clock's reading, and what to add to those up to `before` instead."""

    now: int
    reading: int
    earlier: int = 0
    before: int = -1


class EpochClock:
    """Converts; `read` is time.clock_gettime_ns or a test's."""

    def __init__(self, read: Callable[[int], int] = time.clock_gettime_ns) -> None:
        self._read = read
        self._offsets: dict[str, _Offset] = {}
        self.now_ns = 0  #: the epoch time of the last measurement
        self.measure()

    def measure(self) -> int:
        """Compare the clocks again; returns the epoch time in nanoseconds."""
        self.now_ns = self._read(time.CLOCK_REALTIME)
        for name, clock in CLOCKS.items():
            reading = self._read(clock)
            offset = self.now_ns - reading
            known = self._offsets.setdefault(name, _Offset(now=offset, reading=reading))
            if abs(offset - known.now) > JUMP_NS:
                known.earlier, known.before = known.now, known.reading
            known.now, known.reading = offset, reading
        return self.now_ns

    def to_epoch(self, values: NDArray[Any], clock: str) -> NDArray[np.int64]:
        """`values` of `clock` ("" is ktime) as nanoseconds since the epoch, a copy. Zero, never set, stays zero."""
        readings = values.astype(np.int64)
        if clock == "realtime" or not readings.size:
            return readings
        offset = self._offsets[clock or "ktime"]
        lowest = int(readings.min())
        unset = readings == 0 if lowest <= 0 else None
        if lowest <= offset.before:
            readings += np.where(readings <= offset.before, offset.earlier, offset.now)
        else:
            readings += offset.now
        if unset is not None:
            readings[unset] = 0
        return readings
