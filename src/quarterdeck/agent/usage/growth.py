"""Growth of the counters of things, such as disks and interfaces, since the last measurement.

A thing that is measured for the first time has no growth yet. One whose counters are lower than before has begun anew
(it was removed and came back): it grew by what it counted since. One that is gone is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

Counters = Mapping[str, int]

_WRAPS_AT = 2**32


class Growth:
    """Keeps the counters of the last measurement. `wrapping`: names of counters that are 32 bits wide, and wrap.

    With `from_zero`, a thing that is measured for the first time began at 0.
    """

    def __init__(self, *, wrapping: Collection[str] = (), from_zero: bool = False) -> None:
        self._wrapping = wrapping
        self._from_zero = from_zero
        self._before: Mapping[str, Counters] = {}

    def since(self, now: Mapping[str, Counters]) -> dict[str, dict[str, int]]:
        """Return by how much the counters of each thing grew, and keep `now` for the next measurement."""
        before, self._before = self._before, now
        return {
            name: self._grown(before.get(name), counters)
            for name, counters in now.items()
            if name in before or self._from_zero
        }

    def _grown(self, before: Counters | None, now: Counters) -> dict[str, int]:
        if before is None or any(now[name] < before[name] for name in now if name not in self._wrapping):
            return dict(now)
        return {
            name: (value - before[name]) % _WRAPS_AT if name in self._wrapping else value - before[name]
            for name, value in now.items()
        }
