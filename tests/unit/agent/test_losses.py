"""The loss tally never loses a count."""

from __future__ import annotations

from quarterdeck.agent.losses import LossTally
from quarterdeck.model.losses import Loss, LossReason


def loss(rows: int, *, table: str = "t", detail: str = "", time_ns: int = 0) -> Loss:
    return Loss(table=table, reason=LossReason.RING_FULL, rows=rows, detail=detail, time_ns=time_ns)


def test_equal_losses_are_summed_and_taken_once() -> None:
    tally = LossTally([loss(1, time_ns=5), loss(2, time_ns=9), loss(4, table="u")])
    assert tally
    assert tally.take() == (loss(3, time_ns=9), loss(4, table="u"))
    assert not tally
    assert tally.take() == ()


def test_endlessly_different_details_stay_few_and_complete() -> None:
    tally = LossTally(loss(1, detail=f"trap at {number}") for number in range(10_000))
    taken = tally.take()
    assert sum(one.rows for one in taken) == 10_000
    assert len(taken) < 600


def test_a_long_detail_is_cut() -> None:
    (taken,) = LossTally([loss(2, detail="x" * 10**6)]).take()
    assert (len(taken.detail), taken.rows) == (1000, 2)
