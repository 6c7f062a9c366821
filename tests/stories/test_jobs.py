"""Jobs in a whole fleet: a command on many nodes, and one result for each job whatever is killed in between."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from quarterdeck.model.hosts import OsInfo
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.nodes import AgentState, Selector
from tests.fleet import Fleet, eventually

JOBS = 100


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web"})
    fleet.join("two", labels={"role": "web"})
    fleet.join("three", labels={"role": "db"}, environment={"QD_AGENT_JOBS__ALLOW": "get_*_info,ping"})


def ask(fleet: Fleet, cmd: str, *nodes: str, expires_s: float | None = None, **arguments: object) -> CommandWithJobs:
    selector = Selector(nodes=nodes)
    request = CreateCommand(cmd=cmd, args=arguments, selector=selector, expires_s=expires_s)
    return fleet.client.commands.create(request)


def over(fleet: Fleet, *commands: CommandWithJobs) -> list[Job]:
    """The jobs of these commands, once each has its result."""

    def look() -> list[Job] | None:
        found = [job for command in commands for job in fleet.client.commands.get(command.id).jobs]
        return found if all(is_final(job.state) for job in found) else None

    try:
        return eventually(look, "every job to have its result")
    except AssertionError as error:
        left = Counter(job.state for command in commands for job in fleet.client.commands.get(command.id).jobs)
        raise AssertionError(f"{error}; there are {left}") from None


def states(jobs: Sequence[Job]) -> dict[str, JobState]:
    return {job.node_name: job.state for job in jobs}


def test_a_command_runs_on_every_node_that_its_labels_name(fleet: Fleet) -> None:
    request = CreateCommand(cmd="get_os_info", selector=Selector(labels={"role": "web"}))
    jobs = over(fleet, fleet.client.commands.create(request))
    assert states(jobs) == {"one": JobState.OK, "two": JobState.OK}
    for job in jobs:
        assert job.result is not None
        assert msgspec.json.decode(job.result.data, type=OsInfo).type == "Linux"
        assert job.accept_time > 0


def test_every_look_at_the_host_answers(fleet: Fleet) -> None:
    looks = ("ping", "get_cpu_info", "get_mem_info", "get_disk_info", "get_nic_info")
    jobs = over(fleet, *(ask(fleet, cmd, "one", "two", "three") for cmd in looks))
    assert {(job.state, job.reason) for job in jobs} == {(JobState.OK, "")}
    assert len(jobs) == 15


def test_what_cannot_be_done_says_why(fleet: Fleet) -> None:
    (refused,) = over(fleet, ask(fleet, "restart", "three"))
    assert refused.state is JobState.REFUSED
    assert "agent.jobs.allow" in refused.reason
    (unknown,) = over(fleet, ask(fleet, "make_tea", "one"))
    assert unknown.state is JobState.UNKNOWN_CMD
    (wrong,) = over(fleet, ask(fleet, "ping", "one", colour="red"))
    assert wrong.state is JobState.ERROR
    assert "found 'colour'" in wrong.reason


def test_an_agent_that_restarts_itself_says_so_once(fleet: Fleet) -> None:
    agent = fleet.agents["two"]
    command = ask(fleet, "restart", "two")
    assert agent.wait() == 0, "the service manager starts it again after any exit"
    agent.start()
    fleet.wait_for("two", AgentState.ONLINE)
    assert states(over(fleet, command)) == {"two": JobState.OK}
    assert states(over(fleet, ask(fleet, "ping", "two"))) == {"two": JobState.OK}
    assert agent.running


def test_a_node_that_was_away_gets_what_has_not_expired(fleet: Fleet) -> None:
    agent = fleet.agents["two"]
    agent.stop()
    fleet.wait_for("two", AgentState.OFFLINE)
    kept, brief = ask(fleet, "ping", "two"), ask(fleet, "ping", "two", expires_s=0.1)
    (expired,) = over(fleet, brief)
    assert expired.state is JobState.EXPIRED
    (waiting,) = fleet.client.commands.get(kept.id).jobs
    assert waiting.state is JobState.QUEUED
    agent.start()
    assert states(over(fleet, kept)) == {"two": JobState.OK}
    assert states(over(fleet, brief)) == {"two": JobState.EXPIRED}


def _one_result_each(jobs: Sequence[Job], *, allowed: set[JobState]) -> None:
    assert len(jobs) == len({job.id for job in jobs}) == JOBS
    assert {job.state for job in jobs} <= allowed
    for job in jobs:
        assert job.result is not None
        assert job.result.state is job.state
        assert job.reason or job.state is JobState.OK


@pytest.mark.parametrize("after", [0, 30, 90])
def test_an_agent_killed_during_a_hundred_jobs_has_one_result_for_each(fleet: Fleet, after: int) -> None:
    commands = [ask(fleet, "get_disk_info", "one", queue="disks") for _ in range(after)]
    commands += [ask(fleet, "get_disk_info", "one") for _ in range((JOBS - after) // 2)]
    time.sleep(random.uniform(0.0, 0.05))
    fleet.agents["one"].kill()
    commands += [ask(fleet, "get_disk_info", "one") for _ in range(JOBS - len(commands))]
    fleet.agents["one"].start()
    _one_result_each(over(fleet, *commands), allowed={JobState.OK, JobState.LOST})


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.3])
def test_a_server_killed_while_jobs_are_accepted_and_answered_loses_none(fleet: Fleet, late_s: float) -> None:
    commands = [ask(fleet, "get_disk_info", "one", queue="disks") for _ in range(JOBS)]
    time.sleep(late_s)  # at another moment each time
    fleet.server.kill()
    fleet.start_server()
    _one_result_each(over(fleet, *commands), allowed={JobState.OK})
