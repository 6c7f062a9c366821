"""The state of a service, read from where its process is and what its checks found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from quarterdeck.agent.processes.processes import Kept
from quarterdeck.agent.processes.supervision import Ending, Outcome, Supervised
from quarterdeck.agent.services.memory import Over
from quarterdeck.agent.services.reading import Health, is_there, read_kept, read_over
from quarterdeck.model.jobs import JobState
from quarterdeck.model.processes import Rules
from quarterdeck.model.services import ALIVE_S, HealthCheck, Service, ServiceState

WEB = Service(name="web", command=("web",))
CHECKED = Service(name="web", command=("web",), health=HealthCheck(tcp="127.0.0.1:1"))
ONCE = Service(name="once", command=("once",), max_time=0, max_restart=0)
RULES = Rules(max_time=-1, max_restart=-1)
NEW = Supervised(rules=RULES)
RUNNING = NEW.started(100.0)
S = ServiceState


@dataclass
class FakeKept:
    state: Supervised
    pid: int | None = None
    began: float = 5.0
    problem: str = ""
    reason: str = ""


def read(
    state: Supervised, *, service: Service = WEB, health: Health | None = None, now: float = 100.0, **more: Any
) -> tuple[ServiceState, str]:
    kept = cast("Kept", FakeKept(state, **more))
    return read_kept(service, kept, health or Health(), now=now, began_before=state is not NEW)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (read(NEW), S.STARTING),
        (read(RUNNING), S.STARTING),  # the keeper has not answered yet
        (read(RUNNING, pid=7), S.STARTING),
        (read(RUNNING, pid=7, now=100.0 + ALIVE_S), S.RUNNING),
        (read(RUNNING, pid=7, service=ONCE), S.RUNNING),
        (read(RUNNING, pid=7, service=CHECKED, now=999.0), S.STARTING),
        (read(RUNNING, pid=7, service=CHECKED, health=Health(5.0, well=True)), S.RUNNING),
        (read(RUNNING, pid=7, service=CHECKED, health=Health(4.0, well=True)), S.STARTING),  # of the run before
        (read(RUNNING, pid=7, service=CHECKED, health=Health(5.0, well=False, found="no")), S.UNHEALTHY),
        (read(RUNNING.told(Ending.UNHEALTHY), pid=7, service=CHECKED, health=Health(5.0, found="no")), S.UNHEALTHY),
        (read(RUNNING.told(Ending.KILLALL), pid=7), S.STOPPING),
        (read(RUNNING.ended(101.0, code=1), reason="exit code 1"), S.BACKOFF),
        (read(NEW.started(1.0).ended(1.0, code=None), problem="no such file"), S.BACKOFF),
    ],
)
def test_states(found: tuple[ServiceState, str], wanted: ServiceState) -> None:
    assert found[0] is wanted


def test_reasons_are_those_of_the_process_and_the_check() -> None:
    assert read(RUNNING.ended(101.0, code=1), reason="exit code 1", now=101.0)[1].startswith("exit code 1; it is")
    assert "no such file" in read(RUNNING.ended(101.0, code=None), problem="no such file", reason="x")[1]
    assert read(RUNNING, pid=7, service=CHECKED, health=Health(5.0, well=True, found="slow")) == (S.RUNNING, "slow")


def test_one_that_recurs_waits_for_its_time() -> None:
    rules = Rules(max_time=0, recurring_period=60)
    state, reason = read(Supervised(rules=rules).started(1.0).ended(2.0, code=0))
    assert (state, "every 60 s" in reason) == (S.WAITING, True)


def test_what_is_over_is_stopped_or_failed() -> None:
    assert read_over(Over(state=JobState.OK)).state is S.STOPPED
    assert read_over(Over(state=JobState.KILLED)).state is S.STOPPED
    for state in (JobState.ERROR, JobState.TIMEOUT, JobState.LOST):
        found = read_over(Over(state=state, reason="exit code 3"))
        assert (found.state, "exit code 3" in found.reason) == (S.FAILED, True)


def test_one_that_runs_to_its_end_is_there_when_it_did() -> None:
    assert is_there(WEB, S.RUNNING, over=None, kept=None)
    assert not is_there(WEB, S.STARTING, over=None, kept=None)
    assert not is_there(ONCE, S.RUNNING, over=None, kept=cast("Kept", FakeKept(RUNNING, 7)))
    assert is_there(ONCE, S.STOPPED, over=Over(state=JobState.OK), kept=None)
    assert not is_there(ONCE, S.FAILED, over=Over(state=JobState.ERROR), kept=None)
    recurring = Supervised(rules=Rules(recurring_period=5)).started(1.0).ended(2.0, code=0)
    assert recurring.outcome is Outcome.OK
    assert is_there(ONCE, S.WAITING, over=None, kept=cast("Kept", FakeKept(recurring)))
