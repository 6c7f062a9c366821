"""One table of one instance: the base of all readers.

Owns the rows that wait to be sent, the rate limit, and the counts of what was read, kept and lost, with reasons.
Subclasses define what to read and when. Used by the edge thread alone; other threads only look at the counts.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from quarterdeck.agent.modules.times import TIME, TimeCheck
from quarterdeck.columns.batch import Batch, Pile
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.modules import TableSource


@dataclass(slots=True)
class Counts:
    """Totals of a reader; they only grow."""

    records: int = 0
    rows: int = 0
    lost: int = 0
    bytes: int = 0
    agent_ns: int = 0  #: CPU time of reading; encoding is added by the encoder's thread
    encode_ns: int = 0


class Reader(ABC):
    """Reads one source. `read` raises its errors; the edge then ends the whole instance."""

    def __init__(
        self,
        source: TableSource,
        module: str,
        *,
        times: TimeCheck | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`notice` is called with information for the author about the rows; `times` checks their times."""
        self.source = source
        self.notice = notice
        self._times = times
        self._time_doubted = False
        self.table = source.table
        self.module = module
        self.pile = Pile(source.table)
        self.counts = Counts()
        self.waiting_since_s: float | None = None  #: monotonic; since when data has been waiting to be sent
        self._losses: Counter[tuple[LossReason, str]] = Counter()
        self._limit = RateLimit(source.rate_limit) if source.rate_limit else None

    @property
    def fds(self) -> tuple[int, ...]:
        """Return the file descriptors that become readable when there is something to read."""
        return ()

    @property
    def fill(self) -> float:
        """Return how full the fullest of its buffers is, 0 to 1."""
        return 0.0

    @abstractmethod
    def due(self, now_s: float) -> float:
        """Return the monotonic time at which it should be read next, if nothing makes it more urgent."""

    @abstractmethod
    def read(self, now_s: float, *, last: bool = False) -> None:
        """Read what there is. `last`: the programs are detached, and nothing more will arrive."""

    @abstractmethod
    def abandon(self, detail: str) -> None:
        """Count as lost what is still to be read, because reading failed."""

    def keep(self, batch: Batch) -> None:
        """Collect rows, as many as the rate limit allows, with corrected times."""
        batch = self._timed(batch)
        kept = batch.rows if self._limit is None else self._limit.take(batch.rows, time.monotonic())
        if kept < batch.rows:
            self.lose(LossReason.THROTTLED, batch.rows - kept)
            batch = batch.cut(0, kept)
        if batch.rows:
            self.counts.rows += batch.rows
            self.pile.add(batch)
            self.wait(time.monotonic())

    def _timed(self, batch: Batch) -> Batch:
        if self._times is None:
            return batch
        batch, wrong, example = self._times.corrected(batch)
        if wrong and not self._time_doubted:
            self._time_doubted = True
            self.notice(_doubt(self.source, wrong, example))
        return batch

    def lose(self, reason: LossReason, rows: int, detail: str = "") -> None:
        """Count rows that will not arrive."""
        if rows > 0:
            self._losses[reason, detail] += rows
            self.counts.lost += rows
            self.wait(time.monotonic())

    def take_losses(self) -> tuple[Loss, ...]:
        """Return the losses since the last call."""
        losses, self._losses = self._losses, Counter()
        now_ns = time.time_ns()
        return tuple(
            Loss(table=self.table.name, reason=reason, rows=rows, module=self.module, time_ns=now_ns, detail=detail)
            for (reason, detail), rows in losses.items()
        )

    def wait(self, now_s: float) -> None:
        """Note that something waits to be sent together with other rows."""
        if self.waiting_since_s is None:
            self.waiting_since_s = now_s


def _doubt(source: TableSource, rows: int, example: str) -> str:
    """Return the warning about the first rows whose time is impossible."""
    time = next((field for field in source.fields if field.column == TIME), None)
    same = (field.column for field in source.fields if time and field.offset == time.offset and field is not time)
    column = next(same, TIME)
    found = f"{rows:,} {'row' if rows == 1 else 'rows'} of table '{source.table.name}'"
    return (
        f"the time of {found}, such as {example}, is "
        f"not within the time that the program was attached: these rows and others like them get the time of reading. "
        f'If \'{column}\' is not a time, set type = "duration_ns" or type = "uint64" in '
        f'[table.columns.{column}]; if it is one of another clock, set clock = "boottime", "realtime" or "tai"'
    )


class RateLimit:
    """A token bucket that holds one second's worth of rows."""

    def __init__(self, rows_per_s: int) -> None:
        self._rate = rows_per_s
        self._tokens = float(rows_per_s)
        self._at_s: float | None = None

    def take(self, rows: int, now_s: float) -> int:
        """Return how many of `rows` may pass at this moment."""
        if self._at_s is not None:
            self._tokens = min(float(self._rate), self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        passed = min(rows, int(self._tokens))
        self._tokens -= passed
        return passed
