"""Programs on a real node: started by `qd`, kept when the agent dies, each with one result and all of its output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.nodes import Selector
from tests.fleet import Fleet, eventually

JOBS = 100
LINES = "".join(f"{number}\n" for number in range(1, 9))
SCRIPT = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done"


@pytest.fixture(scope="module")
def node(fleet: Fleet) -> Iterator[str]:
    fleet.join("programs")
    yield "programs"
    command = fleet.client.commands.create(CreateCommand(cmd="killall", selector=Selector(nodes=("programs",))))
    job_of(fleet, command)


def start(fleet: Fleet, node: str, script: str, **settings: object) -> CommandWithJobs:
    args = {"cmd": "/bin/sh", "args": ["-c", script], **settings}
    return fleet.client.commands.create(CreateCommand(cmd="execute", args=args, selector=Selector(nodes=(node,))))


def job_of(fleet: Fleet, command: CommandWithJobs) -> Job:
    """Return the only job of a command, once it has a result."""
    return eventually(
        lambda: next((job for job in fleet.client.commands.get(command.id).jobs if is_final(job.state)), None),
        f"the result of {command.cmd}",
    )


def test_a_program_is_started_and_its_result_shown(fleet: Fleet, node: str) -> None:
    words = ("--arg", "cmd=/bin/sh", "--arg", 'args=["-c", "echo hello; exit 3"]')
    command = [sys.executable, "-m", "quarterdeck.cli.main", "job", "start", "execute", *words, "--node", node]
    environment = os.environ | {"QD_HOME": str(fleet.server.home), "QD_HTTP": fleet.http}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "hello" in done.stdout
    assert "exit code 3" in done.stdout + done.stderr


def test_a_killed_agent_leaves_each_of_a_hundred_programs_one_result(fleet: Fleet, node: str) -> None:
    commands = [start(fleet, node, SCRIPT) for _ in range(JOBS)]
    lasting = start(fleet, node, "echo $$; exec sleep 600", max_time=-1)

    def running() -> int:
        states = [fleet.client.commands.get(command.id).jobs[0].state for command in commands[::10]]
        return sum(state in (JobState.RUNNING, JobState.OK) for state in states) > JOBS / 20

    eventually(running, "the programs to begin")
    agent = fleet.agents[node]
    agent.kill()
    agent.start()
    results = [job_of(fleet, command).result for command in commands]
    for result in results:
        assert result is not None
        if result.state is not JobState.LOST:  # LOST: the agent was killed before the program began
            assert (result.state, result.code, result.streams[0]) == (JobState.OK, 0, LINES)
    assert any(result is not None and result.state is JobState.OK for result in results)
    fleet.client.commands.kill(lasting.id)
    assert job_of(fleet, lasting).state is JobState.KILLED
