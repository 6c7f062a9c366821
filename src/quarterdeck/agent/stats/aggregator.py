"""The aggregator: sums the samples of all sources in one tally, and emits its rows every interval.

Any thread may feed it. Owns the numbers that identify sources, and reports what was refused: as losses of the table
`stats`, and with one example in the log. It opens the tally at the first sample; it reads no socket and keeps no time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from quarterdeck.agent.stats.rows import stats_rows
from quarterdeck.agent.stats.tally import CELLS, KEYS, Tally
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.stats import STATS_TABLE, StatSource
from quarterdeck.wasm.engine import Engine

#: intervals without a sample after which a key is forgotten (a gauge's value, its fixed kind); when there is no space
#: for another key, one such interval is enough
IDLE_INTERVALS = 360

log = logging.getLogger(__name__)


class Aggregator:
    """Sums samples until `flush`. `cache`: the folder where the compiled guest is kept."""

    def __init__(self, outlet: Outlet, *, cache: Path | None = None) -> None:
        self._outlet = outlet
        self._cache = cache
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._tally: Tally | None = None
        self._numbers: dict[StatSource, int] = {}
        self._next = 1

    def feed(self, source: StatSource, lines: bytes | memoryview) -> None:
        """Take lines of statsd (a whole packet, the level-10 messages of a process); never raise for their content."""
        with self._lock:
            self._opened().feed(self._number(source), lines)

    def receive(self, source: StatSource, fill: Callable[[Tally], int]) -> int:
        """Let `fill` put packets into the tally's memory, and take as many as it returns; return that number."""
        with self._lock:
            tally = self._opened()
            packets = fill(tally)
            if packets:
                tally.receive(self._number(source), packets)
            return packets

    def flush(self, *, gid: int, nid: int, time_ns: int, interval_ns: int) -> int:
        """Emit the interval's rows and start the next interval; return the number of rows."""
        with self._lock:
            tally = self._tally
            if tally is None:
                return 0
            sources = {number: source for source, number in self._numbers.items()}
            batch = stats_rows(tally, sources, gid=gid, nid=nid, time_ns=time_ns, interval_ns=interval_ns)
            losses = _losses(tally, time_ns)
            tally.turn(idle=1 if tally.report.keyless else IDLE_INTERVALS)
            used = set(tally.keys()["source"].tolist())
            self._numbers = {source: number for number, source in sources.items() if number in used}
        for loss in losses:
            self._outlet.lose(loss)
        self._outlet.send(STATS_TABLE, lambda: batch, rows=batch.rows)
        return batch.rows

    def close(self) -> None:
        """Close the tally. Nothing may be fed afterwards."""
        if self._engine is not None:
            self._engine.close()

    def _opened(self) -> Tally:
        if self._tally is None:
            self._engine = Engine(cache=self._cache)
            self._tally = Tally(self._engine)
        return self._tally

    def _number(self, source: StatSource) -> int:
        number = self._numbers.get(source)
        if number is None:
            number = self._numbers[source] = self._next
            self._next = (self._next + 1) & 0xFFFFFFFF
        return number


def _losses(tally: Tally, time_ns: int) -> list[Loss]:
    """Return the losses of this interval; log those that are a user's mistake."""
    report = tally.report
    if report.malformed:
        log.warning("%d statsd lines are not metrics; the first: %s", report.malformed, report.malformed_sample)
    if report.changed:
        log.warning("%d statsd lines have a key of another type; the first: %s", report.changed, report.changed_sample)
    if report.keyless:
        log.warning("%d statsd lines have keys beyond the %d that fit", report.keyless, KEYS)
    if report.crowded:
        log.warning("%d statsd samples are missing in percentiles and sets: more than %d cells", report.crowded, CELLS)
    counted = (
        (report.malformed, LossReason.BAD_RECORD, "lines that are not metrics"),
        (report.changed, LossReason.BAD_RECORD, "lines whose key is of another type"),
        (report.keyless, LossReason.MAP_FULL, "lines with a key beyond the limit"),
        (report.events, LossReason.EVENT, "events, which are no metrics"),
        (report.checks, LossReason.SERVICE_CHECK, "service checks, which are no metrics"),
    )
    return [
        Loss(table=STATS_TABLE.name, reason=reason, rows=rows, time_ns=time_ns, detail=detail)
        for rows, reason, detail in counted
        if rows
    ]
