"""The edge thread reads what is due, sends what has waited, and ends only the instance of a failed reader."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.edge import FLUSH_ROWS, Edge, Tap
from quarterdeck.agent.modules.encoder import Encoder
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.columns.arrow import BODY_BYTES
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.outlet import Outlet
from quarterdeck.columns.values import strings
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.modules import TableSource
from quarterdeck.model.tables import Column, ColumnType, Table

TABLE = Table(name="t", columns=(Column(name="n", type=ColumnType.INT64),))


class Scripted(Reader):
    """Calls a test's function at each reading; always due, or once in an hour."""

    def __init__(self, act: Callable[[Scripted, bool], None], *, busy: bool = True) -> None:
        super().__init__(TableSource(table=TABLE, maps=(), record_size=8), "m")
        self._act = act
        self._busy = busy
        self.readings = 0

    def due(self, now_s: float) -> float:
        return now_s + (0.005 if self._busy and self.readings else 3600)

    def read(self, now_s: float, *, last: bool = False) -> None:
        self.readings += 1
        self._act(self, last)

    def abandon(self, detail: str) -> None:
        self.lose(LossReason.BAD_RECORD, 42, detail)


class Bench:
    """An edge whose batches end in lists."""

    def __init__(self, *, flush_interval_s: float) -> None:
        self.sent: list[int] = []
        self.losses: list[Loss] = []
        self.news = threading.Semaphore(0)
        self.encoder = Encoder(Outlet(emit=self._emit, lose=self.losses.append))
        self.edge = Edge(self.encoder, EpochClock(), flush_interval_s=flush_interval_s)

    def _emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        self.sent.append(rows)
        self.losses.extend(losses)
        self.news.release()


@pytest.fixture
def bench() -> Iterator[Callable[[float], Bench]]:
    made: list[Bench] = []

    def make(flush_interval_s: float) -> Bench:
        made.append(Bench(flush_interval_s=flush_interval_s))
        return made[-1]

    yield make
    for each in made:
        each.edge.close()
        each.encoder.close()


def give(rows: int) -> Callable[[Scripted, bool], None]:
    return lambda reader, last: reader.keep(Batch(TABLE, {"n": np.arange(rows)}, rows))


class Once(Scripted):
    """Due at once, a single time."""

    def due(self, now_s: float) -> float:
        return now_s if not self.readings else now_s + 3600


def test_the_last_reading_is_sent_before_remove_returns(bench: Callable[[float], Bench]) -> None:
    made = bench(3600)
    tap = Tap((Scripted(give(7), busy=False),), failed=lambda error: None)
    made.edge.add(tap)
    made.edge.remove(tap)
    assert made.sent == [7]
    made.edge.remove(tap)  # twice is harmless
    assert made.sent == [7]


def test_rows_leave_after_the_interval_or_when_there_are_many(bench: Callable[[float], Bench]) -> None:
    waiting = bench(0.02)
    waiting.edge.add(Tap((Once(give(3)),), failed=lambda error: None))
    assert waiting.news.acquire(timeout=10)
    assert waiting.sent == [3]
    full = bench(3600)
    full.edge.add(Tap((Once(give(FLUSH_ROWS)),), failed=lambda error: None))
    assert full.news.acquire(timeout=10)
    assert full.sent == [FLUSH_ROWS]


class Arriving(Scripted):
    """A buffer in which a record arrives after the edge has computed the deadline, before it looks at the fill."""

    def __init__(self) -> None:
        super().__init__(give(1))
        self._readable = os.eventfd(0, os.EFD_CLOEXEC)
        self._asked = 0
        self._filled = False

    @property
    def fds(self) -> tuple[int, ...]:
        return (self._readable,)

    @property
    def fill(self) -> float:
        return 0.001 if self._filled else 0.0

    def due(self, now_s: float) -> float:
        self._asked += 1
        if self._filled:
            self.wait(now_s)
        elif self._asked == 2:  # it was served once, and the edge sleeps now
            self._filled = True
            os.eventfd_write(self._readable, 1)
        return float("inf")

    def read(self, now_s: float, *, last: bool = False) -> None:
        if self._filled:
            self._filled = False
            os.eventfd_read(self._readable)
            super().read(now_s, last=last)


def test_what_arrives_while_the_edge_goes_to_sleep_is_read(bench: Callable[[float], Bench]) -> None:
    made = bench(0.02)
    made.edge.add(Tap((Arriving(),), failed=lambda error: None))
    assert made.news.acquire(timeout=10)
    assert made.sent == [1]


def test_a_reader_that_fails_ends_its_own_tap_only(bench: Callable[[float], Bench]) -> None:
    made = bench(0.01)
    errors: list[Exception] = []
    heard = threading.Event()

    def fail(reader: Scripted, last: bool) -> None:
        raise ValueError("broken")

    def failed(error: Exception) -> None:
        errors.append(error)
        heard.set()

    broken = Tap((Once(fail),), failed=failed)
    made.edge.add(broken)
    assert heard.wait(10)
    time.sleep(0.05)
    assert [str(error) for error in errors] == ["broken"]
    made.edge.add(Tap((Once(give(1)),), failed=lambda error: None))
    assert made.news.acquire(timeout=10)
    made.edge.remove(broken)
    assert [(loss.rows, loss.detail) for loss in made.losses] == [(42, "broken")]


def test_losses_without_rows_are_told_too(bench: Callable[[float], Bench]) -> None:
    made = bench(0.01)
    tap = Tap((Once(lambda reader, last: reader.lose(LossReason.TRAP, 5)),), failed=lambda error: None)
    made.edge.add(tap)
    made.edge.remove(tap)
    assert sum(loss.rows for loss in made.losses) >= 5
    assert made.sent == []


def test_rows_that_cannot_be_encoded_are_counted_as_lost(bench: Callable[[float], Bench]) -> None:
    made = bench(3600)
    wrong = Scripted(lambda reader, last: reader.keep(Batch(TABLE, {"n": strings(["a", "b"])}, 2)), busy=False)
    tap = Tap((wrong,), failed=lambda error: None)
    made.edge.add(tap)
    made.edge.remove(tap)
    assert [(loss.reason, loss.rows) for loss in made.losses] == [(LossReason.BAD_RECORD, 2)]


def test_a_closed_edge_says_so(bench: Callable[[float], Bench]) -> None:
    edge = Edge(bench(1).encoder, EpochClock())
    edge.close()
    with pytest.raises(RuntimeError, match="has ended"):
        edge.add(Tap((), failed=lambda error: None))


def test_a_reading_that_is_larger_than_a_body_leaves_in_several(bench: Callable[[float], Bench]) -> None:
    made = bench(3600)
    rows = 2 * BODY_BYTES // 8 + 1

    def much(reader: Scripted, last: bool) -> None:
        if not last:
            give(rows)(reader, last)
            reader.lose(LossReason.RING_FULL, 3)

    tap = Tap((Once(much),), failed=lambda error: None)
    made.edge.add(tap)
    made.edge.remove(tap)
    assert sum(made.sent) == rows
    assert max(made.sent) * 8 <= BODY_BYTES
    assert [loss.rows for loss in made.losses] == [3]
