"""The rules of supervision: those of the document, one by one, and what holds whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.agent.processes.supervision import (
    Ending,
    RunOutcome,
    SupervisionState,
)
from quarterdeck.model.errors import BadInput
from quarterdeck.model.processes import Phase, Rules

RULES = st.builds(
    Rules,
    max_time=st.sampled_from([-1, 0, 1, 60, 1000]),
    max_restart=st.integers(-1, 4),
    recurring_period=st.sampled_from([0.0, 5.0]),
)


def fail(state: SupervisionState, *, lived: float = 1.0, code: int | None = 1) -> SupervisionState:
    assert state.due is not None
    return state.started(state.due).ended(state.due + lived, code=code)


@pytest.mark.parametrize(
    ("rules", "now", "ending"),
    [
        (Rules(max_restart=4), 20.0, Ending.KILLED),
        (Rules(max_time=60), 20.0, Ending.KILLED),
        (Rules(max_time=60), 70.0, Ending.TIMEOUT),
        (Rules(max_time=-1), 20.0, None),  # it may be to start again
        (Rules(recurring_period=5.0), 20.0, None),
    ],
)
def test_what_is_found_ending_was_killed_or_ran_too_long(rules: Rules, now: float, ending: Ending | None) -> None:
    found = SupervisionState(rules=rules).found(now, began=10.0, restarts=0, over=False)
    state = found.found_ending(now)
    assert state.ending is ending
    assert state.phase is (Phase.RUNNING if ending is None else Phase.ENDING)


def test_a_run_that_is_well_is_not_repeated() -> None:
    done = fail(SupervisionState(rules=Rules(max_restart=3)), code=0)
    assert (done.phase, done.outcome, done.exhausted) == (Phase.DONE, RunOutcome.OK, False)


def test_a_failed_run_is_repeated_until_the_count_is_used_up_and_then_it_is_critical() -> None:
    state = SupervisionState(rules=Rules(max_restart=2))
    waits: list[float] = []
    for _ in range(2):
        ended = (state.due or 0.0) + 1.0
        state = fail(state)
        assert (state.phase, state.exhausted) == (Phase.WAITING, False)
        waits.append((state.due or 0.0) - ended)
    assert 0 < waits[0] < waits[1]
    state = fail(state)
    assert (state.phase, state.outcome, state.exhausted) == (Phase.DONE, RunOutcome.FAILED, True)


def test_a_run_of_five_minutes_clears_the_count() -> None:
    state = fail(fail(SupervisionState(rules=Rules(max_restart=2))))
    assert state.restarts == 2
    assert fail(state, lived=299.9).exhausted
    state = fail(state, lived=300.0)
    assert (state.phase, state.restarts) == (Phase.WAITING, 1)


def test_a_run_that_exceeds_max_time_is_ended_as_a_timeout() -> None:
    state = SupervisionState(rules=Rules(max_time=10, max_restart=3)).started(100.0)
    assert not state.is_due(109.9)
    assert state.is_due(110.0)
    state = state.told(Ending.TIMEOUT).ended(111.0, code=-15)
    assert (state.phase, state.outcome) == (Phase.DONE, RunOutcome.TIMEOUT)


def test_time_goes_on_while_the_agent_is_restarted() -> None:
    state = SupervisionState(rules=Rules(max_time=10)).found(100.0, began=95.0, restarts=0, over=False)
    assert state.is_due(105.0)


def test_failed_runs_are_counted_over_restarts_of_the_agent() -> None:
    state = (
        SupervisionState(rules=Rules(max_restart=2))
        .found(100.0, began=99.0, restarts=2, over=True)
        .ended(101.0, code=1)
    )
    assert (state.phase, state.exhausted) == (Phase.DONE, True)


def test_a_run_without_a_time_limit_is_never_due() -> None:
    for max_time in (0, -1):
        assert not SupervisionState(rules=Rules(max_time=max_time)).started(0.0).is_due(1e12)


def test_one_that_runs_for_ever_starts_again_when_it_ends_well_too() -> None:
    state = fail(SupervisionState(rules=Rules(max_time=-1, max_restart=1)), code=0)
    assert state.phase is Phase.WAITING
    assert fail(state, code=0).exhausted


def test_a_recurring_one_comes_again_after_its_period_whatever_came_of_it() -> None:
    rules = Rules(recurring_period=7.0)
    state = SupervisionState(rules=rules)
    for code in (0, 1, None):
        began = state.due or 0.0
        state = fail(state, code=code)
        assert (state.phase, state.due) == (Phase.WAITING, began + 8.0)


@pytest.mark.parametrize(
    "rules", [Rules(max_time=-1, max_restart=-1), Rules(recurring_period=5.0), Rules(max_restart=9)]
)
def test_what_was_killed_is_not_started_again(rules: Rules) -> None:
    state = SupervisionState(rules=rules).started(0.0).told(Ending.KILLED).ended(1.0, code=-9)
    assert (state.phase, state.outcome) == (Phase.DONE, RunOutcome.KILLED)
    assert SupervisionState(rules=rules).told(Ending.KILLED).phase is Phase.DONE


def test_killall_leaves_the_remembered_and_the_recurring_to_start_again() -> None:
    def after(rules: Rules) -> tuple[Phase, float | None]:
        state = SupervisionState(rules=rules).started(0.0).told(Ending.KILLALL).ended(1.0, code=-9)
        return state.phase, state.due

    assert after(Rules(max_time=-1)) == (Phase.WAITING, 1.0)
    assert after(Rules(recurring_period=5.0)) == (Phase.WAITING, 6.0)
    assert after(Rules(max_restart=9)) == (Phase.DONE, None)


def test_one_that_is_not_well_is_ended_and_counts_as_failed() -> None:
    state = (
        SupervisionState(rules=Rules(max_time=-1, max_restart=1)).started(0.0).told(Ending.UNHEALTHY).ended(1.0, code=0)
    )
    assert (state.phase, state.outcome, state.restarts) == (Phase.WAITING, RunOutcome.FAILED, 1)
    assert state.due is not None
    assert state.due > 1.0
    state = state.started(2.0).told(Ending.UNHEALTHY).ended(3.0, code=-15)
    assert (state.phase, state.exhausted) == (Phase.DONE, True)


def test_a_kill_wins_over_what_was_asked_before_and_after() -> None:
    state = SupervisionState(rules=Rules(max_time=-1)).started(0.0)
    for first, second in ((Ending.KILLED, Ending.RESTART), (Ending.TIMEOUT, Ending.KILLED)):
        assert state.told(first).told(second).ended(1.0, code=-9).phase is Phase.DONE


@pytest.mark.parametrize("bad", [{"max_time": -2}, {"max_restart": -2}, {"recurring_period": -1.0}])
def test_rules_that_mean_nothing_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=next(iter(bad))):
        Rules(**bad)


@given(RULES, st.lists(st.tuples(st.floats(0, 2000), st.sampled_from([0, 1, None]), st.sampled_from([None, *Ending]))))
def test_whatever_happens_the_count_holds_and_a_kill_is_final(
    rules: Rules, runs: list[tuple[float, int | None, Ending | None]]
) -> None:
    state = SupervisionState(rules=rules)
    for lived, code, ending in runs:
        if state.phase is Phase.DONE:
            break
        assert state.phase is Phase.WAITING
        assert state.due is not None
        began = state.due
        state = state.started(began)
        if ending is not None:
            state = state.told(ending)
        state = state.ended(began + lived, code=code)
        assert state.due is None or state.due >= began + lived
        assert rules.max_restart == -1 or state.restarts <= rules.max_restart
        assert (state.phase is Phase.DONE) >= (ending is Ending.KILLED)
        if state.phase is Phase.DONE:
            assert state.outcome is not None
            assert not rules.recurring_period or ending is Ending.KILLED
