"""The aggregator: everything that is fed to one tally, and every interval its rows into the telemetry path.

Any thread may feed it. It owns the numbers by which sources are kept apart, and says what was refused: as losses of the
table `stats`, and with one example in the log. It opens the tally when something first comes, reads no socket and keeps
no time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from quarterdeck.agent.stats.rows import stats_rows
from quarterdeck.agent.stats.tally import CELLS, KEYS, Tally
from quarterdeck.columns.arrow import encode
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.stats import STATS_TABLE, StatSource
from quarterdeck.model.tables import Table
from quarterdeck.wasm.engine import Engine

#: intervals without a sample after which a key is forgotten (a gauge's value, the kind it must keep); when there is no
#: room for another key, one such interval is enough
IDLE_INTERVALS = 360

#: table, rows, body (compressed Arrow IPC), module, losses; any thread, never waits
Emit = Callable[[Table, int, bytes, str, Sequence[Loss]], None]
Lose = Callable[[Loss], None]

log = logging.getLogger(__name__)


class Aggregator:
    """Sums what it is fed until `flush`. `cache`: the folder where the compiled guest is kept."""

    def __init__(self, *, emit: Emit, lose: Lose, cache: Path | None = None) -> None:
        self._emit = emit
        self._lose = lose
        self._cache = cache
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._tally: Tally | None = None
        self._numbers: dict[StatSource, int] = {}
        self._next = 1

    def feed(self, source: StatSource, lines: bytes | memoryview) -> None:
        """Take lines of statsd (a whole packet, the level-10 messages of a process); never raises for what they say."""
        with self._lock:
            self._opened().feed(self._number(source), lines)

    def receive(self, source: StatSource, fill: Callable[[Tally], int]) -> int:
        """Let `fill` put packets where the tally wants them, and take as many as it says; how many that were."""
        with self._lock:
            tally = self._opened()
            packets = fill(tally)
            if packets:
                tally.receive(self._number(source), packets)
            return packets

    def flush(self, *, gid: int, nid: int, time_ns: int, interval_ns: int) -> int:
        """Emit the interval's rows and begin the next one; how many rows that were."""
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
        if batch.rows:
            self._emit(STATS_TABLE, batch.rows, encode(batch), "", losses)
        else:
            for loss in losses:
                self._lose(loss)
        return batch.rows

    def close(self) -> None:
        """Let go of the tally. Nothing may be fed any more."""
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
    """What the tally refused in this interval; told in the log too, where it is somebody's mistake."""
    report = tally.report
    if report.malformed:
        log.warning("%d statsd lines are no metric; the first: %s", report.malformed, report.malformed_sample)
    if report.changed:
        log.warning("%d statsd lines have a key of another type; the first: %s", report.changed, report.changed_sample)
    if report.keyless:
        log.warning("%d statsd lines have keys beyond the %d that there is room for", report.keyless, KEYS)
    if report.crowded:
        log.warning("%d statsd samples are missing in percentiles and sets: more than %d cells", report.crowded, CELLS)
    counted = (
        (report.malformed, LossReason.BAD_RECORD, "lines that are no metric"),
        (report.changed, LossReason.BAD_RECORD, "lines whose key is of another type"),
        (report.keyless, LossReason.MAP_FULL, "lines whose key found no room"),
    )
    return [
        Loss(table=STATS_TABLE.name, reason=reason, rows=rows, time_ns=time_ns, detail=detail)
        for rows, reason, detail in counted
        if rows
    ]
