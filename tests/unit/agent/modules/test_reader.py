"""Rows pile up within the rate limit, and what is lost is counted with its reason."""

from __future__ import annotations

import numpy as np

from quarterdeck.agent.modules.reader import RateLimit, Reader
from quarterdeck.columns.batch import Batch
from quarterdeck.model.losses import LossReason
from quarterdeck.model.modules import TableSource
from quarterdeck.model.tables import Column, ColumnType, Table

TABLE = Table(name="t", columns=(Column(name="n", type=ColumnType.INT64),))


class Still(Reader):
    """A reader with nothing to read."""

    def due(self, now_s: float) -> float:
        return float("inf")

    def read(self, now_s: float, *, last: bool = False) -> None: ...

    def abandon(self, detail: str) -> None: ...


def reader(rate_limit: int = 0) -> Still:
    return Still(TableSource(table=TABLE, maps=(), record_size=8, rate_limit=rate_limit), "m")


def batch(rows: int) -> Batch:
    return Batch(TABLE, {"n": np.arange(rows)}, rows)


def test_rows_over_the_limit_are_throttled_and_counted() -> None:
    limited = reader(rate_limit=100)
    limited.keep(batch(70))
    limited.keep(batch(70))
    assert 100 <= limited.counts.rows <= 101
    (loss,) = limited.take_losses()
    assert (loss.reason, loss.table, loss.module) == (LossReason.THROTTLED, "t", "m")
    assert loss.rows == limited.counts.lost == 140 - limited.counts.rows
    assert limited.take_losses() == ()


def test_losses_are_summed_by_reason_and_detail() -> None:
    losing = reader()
    for rows, detail in ((3, "a"), (4, "a"), (5, "b"), (0, "c")):
        losing.lose(LossReason.TRAP, rows, detail)
    assert sorted((loss.rows, loss.detail) for loss in losing.take_losses()) == [(5, "b"), (7, "a")]
    assert losing.waiting_since_s is not None


def test_the_bucket_refills_with_time_and_holds_one_second() -> None:
    limit = RateLimit(10)
    assert [limit.take(8, 0.0), limit.take(8, 0.0), limit.take(8, 0.5), limit.take(99, 100.0)] == [8, 2, 5, 10]
