"""The intervals of the outbox's upkeep, and the size of what it spills."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """The upkeep of one outbox."""

    #: how often losses without a batch, age and space are checked
    tick_s: float = 1.0
    #: while the server is unreachable, batches are spilled after this time, so that a kill -9 loses no more
    spill_after_s: float = 5.0
    #: wait after the disk refused a segment
    disk_retry_s: float = 5.0
    segment_bytes: int = 2 * 1024 * 1024


UPKEEP = Upkeep()
