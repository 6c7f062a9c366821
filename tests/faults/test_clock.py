"""The wall clock is set back an hour under a running server and agent: only the times that they report change.

Both are real processes, and see a clock that the test moves (`tests/moved_clock.py`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.messages import Level, MessageFilter, NodeMessage
from quarterdeck.model.nodes import AgentState, Selector
from tests.fleet import Fleet, eventually
from tests.moved_clock import MovedClock
from tests.support import require

HOUR_S = 3600
COUNTING = "n=0; while [ ! -e stop ]; do n=$((n+1)); echo $n; sleep 0.05; done; echo 7::stopped"


@pytest.fixture
def clock(tmp_path: Path) -> MovedClock:
    return MovedClock(tmp_path / "clock")


@pytest.fixture
def fleet(tmp_path: Path, clock: MovedClock) -> Iterator[Fleet]:
    require(os.name == "posix", "a library is loaded before others")
    with Fleet(tmp_path, server_environment=clock.environment) as running:
        running.join("one", environment=clock.environment)
        yield running


def ask(fleet: Fleet, cmd: str, /, *, expires_s: float | None = None, **arguments: object) -> CommandWithJobs:
    request = CreateCommand(cmd=cmd, args=arguments, selector=Selector(nodes=("one",)), expires_s=expires_s)
    return fleet.client.commands.create(request)


def start(fleet: Fleet, script: str, **settings: float) -> str:
    """The id of a program that runs in a folder of its test."""
    return ask(fleet, "execute", cmd="/bin/sh", args=["-c", script], workingdir=str(fleet.folder), **settings).id


def over(fleet: Fleet, command_id: str) -> Job:
    return eventually(
        lambda: next((job for job in fleet.client.commands.get(command_id).jobs if is_final(job.state)), None),
        f"the result of {command_id}",
    )


def printed(fleet: Fleet, job_id: str, *, more_than: int = 0) -> list[NodeMessage]:
    """What it printed, oldest first, once that is more than so many messages."""

    def look() -> list[NodeMessage] | None:
        found = list(fleet.client.messages.list(MessageFilter(job_id=job_id)).messages)
        return found if len(found) > more_than else None

    return eventually(look, f"more than {more_than} messages of {job_id}")


def _lines(fleet: Fleet, job_id: str) -> list[str]:
    """What it printed itself, on standard output."""
    wanted = MessageFilter(job_id=job_id, levels=str(int(Level.STDOUT)))
    return [message.data for message in fleet.client.messages.list(wanted).messages]


def test_what_runs_goes_on_while_the_clock_goes_back(fleet: Fleet, clock: MovedClock) -> None:
    counting = start(fleet, COUNTING)
    limited = start(fleet, "echo up; exec sleep 600", max_time=10)
    again = start(fleet, "echo turn", recurring_period=0.2)
    lasting = start(fleet, "echo $$; exec sleep 600", max_time=-1, max_restart=3)
    pids = [printed(fleet, job_id)[0].data for job_id in (counting, limited, again, lasting)]

    clock.move(-HOUR_S)
    turns, counted = len(printed(fleet, again)), len(printed(fleet, counting))
    printed(fleet, again, more_than=turns + 2)
    printed(fleet, counting, more_than=counted + 10)
    os.kill(int(pids[-1]), signal.SIGKILL)
    lines = eventually(lambda: _lines(fleet, lasting)[1:], "another process")
    assert int(lines[0]) != int(pids[-1])
    (fleet.folder / "stop").touch()
    ended = over(fleet, counting)
    assert ended.result is not None
    assert ended.state is JobState.OK
    assert 0 < ended.result.time < HOUR_S * 1000, "the time that it took is not that between two clocks"
    found = [each.data for each in printed(fleet, counting)]
    assert found == [*map(str, range(1, len(found))), "stopped"], "each line once, in the order that it was printed"
    late = over(fleet, limited)
    assert late.state is JobState.TIMEOUT

    new = over(fleet, ask(fleet, "ping").id)
    assert new.result is not None
    assert new.result.starttime < (time.time() - HOUR_S / 2) * 1000, "they really see the other clock"
    rows = fleet.wait_rows(f"SELECT data FROM messages WHERE job_id = '{counting}'")
    assert rows == [["stopped"]]
    for job_id in (again, lasting):
        fleet.client.commands.kill(job_id)
        assert over(fleet, job_id).state is JobState.KILLED


def test_both_are_killed_and_come_back_to_another_time(fleet: Fleet, clock: MovedClock) -> None:
    counting = start(fleet, COUNTING, max_time=900)
    printed(fleet, counting, more_than=5)
    fleet.agents["one"].kill()
    fleet.wait_for("one", AgentState.OFFLINE)
    waiting, brief = ask(fleet, "ping"), ask(fleet, "ping", expires_s=1)
    assert over(fleet, brief.id).state is JobState.EXPIRED
    patient = ask(fleet, "ping", expires_s=60)
    fleet.server.kill()
    clock.move(-HOUR_S)
    fleet.start_server()
    fleet.agents["one"].start()
    fleet.wait_for("one", AgentState.ONLINE)
    assert over(fleet, waiting.id).state is over(fleet, patient.id).state is JobState.OK
    before = len(printed(fleet, counting))
    clock.move(0)  # and an hour forward
    printed(fleet, counting, more_than=before + 5)
    (fleet.folder / "stop").touch()
    ended = over(fleet, counting)
    assert ended.result is not None
    assert ended.state is JobState.OK, ended.reason
    assert 0 < ended.result.time < 900_000
    found = [each.data for each in printed(fleet, counting)]
    assert found == [*map(str, range(1, len(found))), "stopped"]
    assert ended.result.streams[0].split()[:-1] == found[:-1][-999:]
    assert over(fleet, brief.id).state is JobState.EXPIRED, "what is final stays"
