"""One table of one instance on its way out: what every kind of reading shares.

It owns the rows that wait to leave, the rate limit, and the counts of what was read, kept and lost and why. Subclasses
say what there is to read and when. Used by the edge thread alone; only the counts are looked at from elsewhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass

from quarterdeck.columns.batch import Batch, Pile
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.modules import TableSource


@dataclass(slots=True)
class Counts:
    """What a reader did so far; numbers that only grow."""

    records: int = 0
    rows: int = 0
    lost: int = 0
    bytes: int = 0
    agent_ns: int = 0  #: CPU time of reading; encoding is added by the outlet's thread
    encode_ns: int = 0


class Reader(ABC):
    """Reads one source. `read` raises what went wrong; the edge then ends the whole instance."""

    def __init__(self, source: TableSource, module: str) -> None:
        self.source = source
        self.table = source.table
        self.module = module
        self.pile = Pile(source.table)
        self.counts = Counts()
        self.waiting_since_s: float | None = None  #: monotonic; since when records, rows or losses wait to leave
        self._losses: Counter[tuple[LossReason, str]] = Counter()
        self._limit = RateLimit(source.rate_limit) if source.rate_limit else None

    @property
    def fds(self) -> tuple[int, ...]:
        """Become readable when there is something to read."""
        return ()

    @property
    def fill(self) -> float:
        """How full the fullest of its buffers is, 0 to 1."""
        return 0.0

    @abstractmethod
    def due(self, now_s: float) -> float:
        """The monotonic time at which it wants to be read next, if nothing makes it more urgent."""

    @abstractmethod
    def read(self, now_s: float, *, last: bool = False) -> None:
        """Read what there is. `last`: the programs are detached, this is all that will ever come."""

    @abstractmethod
    def abandon(self, detail: str) -> None:
        """Count as lost what is still to be read: reading it failed."""

    def keep(self, batch: Batch) -> None:
        """Pile up rows, as many as the rate limit lets through."""
        kept = batch.rows if self._limit is None else self._limit.take(batch.rows, time.monotonic())
        if kept < batch.rows:
            self.lose(LossReason.THROTTLED, batch.rows - kept)
            batch = batch.cut(0, kept)
        if batch.rows:
            self.counts.rows += batch.rows
            self.pile.add(batch)
            self.wait(time.monotonic())

    def lose(self, reason: LossReason, rows: int, detail: str = "") -> None:
        """Count rows that will not arrive."""
        if rows > 0:
            self._losses[reason, detail] += rows
            self.counts.lost += rows
            self.wait(time.monotonic())

    def take_losses(self) -> tuple[Loss, ...]:
        """The losses since the last call."""
        losses, self._losses = self._losses, Counter()
        now_ns = time.time_ns()
        return tuple(
            Loss(table=self.table.name, reason=reason, rows=rows, module=self.module, time_ns=now_ns, detail=detail)
            for (reason, detail), rows in losses.items()
        )

    def wait(self, now_s: float) -> None:
        """Something is there that is to leave; what it waits for is company."""
        if self.waiting_since_s is None:
            self.waiting_since_s = now_s


class RateLimit:
    """A token bucket that holds one second's worth of rows."""

    def __init__(self, rows_per_s: int) -> None:
        self._rate = rows_per_s
        self._tokens = float(rows_per_s)
        self._at_s: float | None = None

    def take(self, rows: int, now_s: float) -> int:
        """How many of `rows` may pass at this moment."""
        if self._at_s is not None:
            self._tokens = min(float(self._rate), self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        passed = min(rows, int(self._tokens))
        self._tokens -= passed
        return passed
