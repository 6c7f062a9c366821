"""Converts readings of the kernel's clocks to nanoseconds since the epoch, a column at a time.

Owns the offsets between the clocks, measured again at each reading, and the last time at which one of them jumped (the
host slept, the date was set), so that times recorded before the jump stay correct. It never queries the kernel for
single rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: names in the manifest → the clock that the program read
CLOCKS = {"ktime": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME, "tai": time.CLOCK_TAI}
JUMP_NS = 10_000_000  #: a change this large is a jump; less is the clock being slewed


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time on two clocks: the wall clock, which can be set, and the monotonic clock."""

    epoch_ns: int
    boot_ns: int


@dataclass(slots=True)
class _Offset:
    """The value to add to a clock's readings, and another value for readings up to `before`."""

    now: int
    reading: int
    earlier: int = 0
    before: int = -1


class EpochClock:
    """Converts times. `read`: time.clock_gettime_ns, or a test's function."""

    def __init__(self, read: Callable[[int], int] = time.clock_gettime_ns) -> None:
        self._read = read
        self._offsets: dict[str, _Offset] = {}
        self.now_ns = 0  #: the epoch time of the last measurement
        self.measure()

    def measure(self) -> int:
        """Measure the offsets between the clocks again; return the epoch time in nanoseconds."""
        self.now_ns = self._read(time.CLOCK_REALTIME)
        for name, clock in CLOCKS.items():
            reading = self._read(clock)
            offset = self.now_ns - reading
            known = self._offsets.setdefault(name, _Offset(now=offset, reading=reading))
            if abs(offset - known.now) > JUMP_NS:
                known.earlier, known.before = known.now, known.reading
            known.now, known.reading = offset, reading
        return self.now_ns

    def moment(self) -> Moment:
        """Return the current moment."""
        return Moment(self._read(time.CLOCK_REALTIME), self._read(time.CLOCK_BOOTTIME))

    def since(self, moment: Moment) -> tuple[int, int]:
        """Return the first and the last epoch time that an event since `moment` can have, on either clock.

        If the date was set in the meantime, the range includes times by the old date and by the new one.
        """
        now = self.moment()
        behind = [each.earlier - each.now for each in self._offsets.values() if each.before >= 0]
        first = min(moment.epoch_ns, now.epoch_ns - (now.boot_ns - moment.boot_ns))
        return first - JUMP_NS, now.epoch_ns + max([0, *behind]) + JUMP_NS

    def to_epoch(self, values: NDArray[Any], clock: str) -> NDArray[np.int64]:
        """Return a copy of `values` of `clock` ("" is ktime) as nanoseconds since the epoch; zero (never set) stays."""
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
