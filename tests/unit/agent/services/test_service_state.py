"""The state of a service, read from where its process is and what its checks found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from quarterdeck.agent.processes.supervised_process import SupervisedProcess
from quarterdeck.agent.processes.supervision import Ending, RunOutcome, SupervisionState
from quarterdeck.agent.services.launch_records import FinalOutcome
from quarterdeck.agent.services.service_state import Health, has_come_up, read_outcome, read_process
from quarterdeck.model.jobs import JobState
from quarterdeck.model.processes import Rules
from quarterdeck.model.services import ALIVE_S, HealthCheck, Service, ServiceState

WEB = Service(name="web", command=("web",))
CHECKED = Service(name="web", command=("web",), health=HealthCheck(tcp="127.0.0.1:1"))
ONCE = Service(name="once", command=("once",), max_time=0, max_restart=0)
RULES = Rules(max_time=-1, max_restart=-1)
NEW = SupervisionState(rules=RULES)
RUNNING = NEW.started(100.0)
S = ServiceState


@dataclass
class FakeProcess:
    state: SupervisionState
    pid: int | None = None
    began: float = 5.0
    runs: int = 1
    problem: str = ""
    reason: str = ""


def read(
    state: SupervisionState, *, service: Service = WEB, health: Health | None = None, now: float = 100.0, **more: Any
) -> tuple[ServiceState, str]:
    runs = 0 if state is NEW else 1
    process = cast("SupervisedProcess", FakeProcess(state, runs=runs, **more))
    return read_process(service, process, health or Health(), now=now)


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
    state, reason = read(SupervisionState(rules=rules).started(1.0).ended(2.0, code=0))
    assert (state, "every 60 s" in reason) == (S.WAITING, True)


def test_what_is_over_is_stopped_or_failed() -> None:
    assert read_outcome(FinalOutcome(state=JobState.OK)).state is S.STOPPED
    assert read_outcome(FinalOutcome(state=JobState.KILLED)).state is S.STOPPED
    for state in (JobState.ERROR, JobState.TIMEOUT, JobState.LOST):
        found = read_outcome(FinalOutcome(state=state, reason="exit code 3"))
        assert (found.state, "exit code 3" in found.reason) == (S.FAILED, True)


def test_one_that_runs_to_its_end_has_come_up_when_it_did() -> None:
    assert has_come_up(WEB, S.RUNNING, outcome=None, process=None)
    assert not has_come_up(WEB, S.STARTING, outcome=None, process=None)
    assert not has_come_up(ONCE, S.RUNNING, outcome=None, process=cast("SupervisedProcess", FakeProcess(RUNNING, 7)))
    assert has_come_up(ONCE, S.STOPPED, outcome=FinalOutcome(state=JobState.OK), process=None)
    assert not has_come_up(ONCE, S.FAILED, outcome=FinalOutcome(state=JobState.ERROR), process=None)
    recurring = SupervisionState(rules=Rules(recurring_period=5)).started(1.0).ended(2.0, code=0)
    assert recurring.outcome is RunOutcome.OK
    assert has_come_up(ONCE, S.WAITING, outcome=None, process=cast("SupervisedProcess", FakeProcess(recurring)))
