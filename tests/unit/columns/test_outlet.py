"""Rows leave as bytes, or are counted as lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from quarterdeck.columns import outlet as module
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.tables import Column, ColumnType, Table

TABLE = Table(name="opens", columns=(Column(name="pid", type=ColumnType.UINT32),))
BEFORE = Loss(table="opens", reason=LossReason.RING_FULL, rows=7, time_ns=1)


class Behind:
    """What is behind an outlet."""

    def __init__(self) -> None:
        self.emitted: list[tuple[str, int, str, Sequence[Loss]]] = []
        self.lost: list[Loss] = []
        self.outlet = Outlet(emit=self._emit, lose=self.lost.append)

    def _emit(self, table: Table, rows: int, body: bytes, name: str, losses: Sequence[Loss]) -> None:
        assert body
        self.emitted.append((table.name, rows, name, tuple(losses)))


def batch(rows: int) -> Batch:
    return Batch(TABLE, {"pid": np.arange(rows, dtype=np.uint32)}, rows)


def test_the_losses_go_with_the_first_body_only() -> None:
    behind = Behind()
    behind.outlet.put(behind.outlet.encode([batch(5000), batch(3)], module="execs", losses=[BEFORE]))
    assert sum(rows for _, rows, _, _ in behind.emitted) == 5003
    assert {(table, name) for table, _, name, _ in behind.emitted} == {("opens", "execs")}
    assert [losses for _, _, _, losses in behind.emitted] == [(BEFORE,), *[()] * (len(behind.emitted) - 1)]
    assert behind.lost == []


def test_rows_that_cannot_be_encoded_are_lost_with_the_losses_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Batch) -> None:
        raise ValueError("no such type")

    monkeypatch.setattr(module, "bodies", refuse)
    behind = Behind()
    behind.outlet.put(behind.outlet.encode([batch(2), batch(3)], module="execs", losses=[BEFORE]))
    behind.outlet.send(TABLE, lambda: batch(4), rows=4)
    assert behind.emitted == []
    assert [(loss.reason, loss.rows, loss.module) for loss in behind.lost] == [
        (LossReason.RING_FULL, 7, ""),
        (LossReason.BAD_RECORD, 5, "execs"),
        (LossReason.BAD_RECORD, 4, ""),
    ]
    assert "no such type" in behind.lost[-1].detail


def test_rows_that_make_no_batch_are_lost() -> None:
    behind = Behind()
    behind.outlet.send(TABLE, lambda: Batch(TABLE, {}, 3), rows=3)
    assert [(loss.reason, loss.rows) for loss in behind.lost] == [(LossReason.BAD_RECORD, 3)]


def test_nothing_is_sent_for_no_rows() -> None:
    behind = Behind()
    behind.outlet.send(TABLE, lambda: batch(0), rows=0)
    assert (behind.emitted, behind.lost) == ([], [])
