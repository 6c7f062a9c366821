"""Pauses that double up to a cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.kit.backoff import Backoff

PAUSES = st.builds(Backoff, st.floats(0.001, 10.0), st.floats(10.0, 1000.0), st.floats(0, 1))


def test_a_pause_doubles_with_each_failure_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 3.0, spread=0.0)
    assert [backoff.pause_s(failures) for failures in range(-1, 5)] == [0.5, 0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_spread_is_the_share_that_is_random() -> None:
    assert Backoff(4.0, 4.0, spread=0.5).pause_s(0, 0.0) == 2.0
    assert Backoff(4.0, 4.0, spread=1.0).pause_s(0, 0.0) == 0.0
    assert Backoff(4.0, 4.0, spread=1.0).pause_s(0, 1.0) == 4.0


@given(PAUSES, st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_grow_and_stay_below_the_cap(backoff: Backoff, failures: int, jitter: float) -> None:
    pause_s = backoff.pause_s(failures, jitter)
    assert 0.0 <= pause_s <= backoff.cap_s
    assert pause_s <= backoff.pause_s(failures + 1, jitter)
