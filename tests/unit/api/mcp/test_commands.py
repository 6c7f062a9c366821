"""The tool that runs a command: what is asked of nodes, and how their results are shown."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from quarterdeck.api.mcp.bounds import ANSWER_BYTES
from quarterdeck.api.mcp.commands import RunCommand, run_command
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobResult, JobState
from quarterdeck.model.messages import FoundMessages, MessageFilter, NodeMessage
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tokens import ApiToken
from tests.telemetry import VIEWER

WEB = Selector(roles=("web",))


def job(nid: int, state: JobState, *, result: JobResult | None = None, reason: str = "") -> Job:
    return Job(id="c", gid=1, nid=nid, node_name=f"n{nid:03}", cmd="execute", state=state, result=result, reason=reason)


def ended(nid: int, state: JobState = JobState.OK, *, stdout: str = "", stderr: str = "", data: str = "") -> Job:
    result = JobResult(id="c", state=state, code=0, streams=(stdout, stderr), data=data, time=5)
    return job(nid, state, result=result)


class Commands:
    def __init__(self, *jobs: Job) -> None:
        self._jobs = jobs
        self.asked: list[tuple[CreateCommand, str, float]] = []

    async def create(self, request: CreateCommand, _: ApiToken, *, action: str, wait_s: float) -> CommandWithJobs:
        self.asked.append((request, action, wait_s))
        states = dict(Counter(each.state for each in self._jobs))
        return CommandWithJobs(id="c", cmd=request.cmd, states=states, jobs=self._jobs)


class Messages:
    async def select(self, _: Selector, wanted: MessageFilter) -> FoundMessages:
        assert (wanted.job_id, wanted.newest_first) == ("c", True)
        lines = [
            NodeMessage(id=n, job_id="c", epoch=n, level=1, data=text, gid=1, nid=1, node="n001")
            for n, text in enumerate(("second", "first"))
        ]
        return FoundMessages(messages=tuple(lines), problems=("n002 is offline.",))


async def ran(commands: Commands, **asked: Any) -> Any:
    backend: Any = SimpleNamespace(commands=commands, messages=Messages())
    return await run_command(backend, RunCommand(**asked), VIEWER)


async def test_a_program_or_a_script_becomes_a_command_of_the_api() -> None:
    commands = Commands(ended(1))
    await ran(commands, command=("df", "-h"), selector=WEB, any=True, wait_s=7.0, env={"A": "b"}, max_time_s=0.0)
    await ran(commands, script="df -h", all_nodes=True, user="nobody", workingdir="/tmp")
    (program, action, wait_s), (script, _, _) = commands.asked
    assert (program.cmd, program.args) == ("execute", {"cmd": "df", "args": ["-h"], "env": {"A": "b"}})
    assert (program.selector, program.any, action, wait_s) == (WEB, True, "createCommand", 7.0)
    assert (script.cmd, script.selector) == ("execute_sh", Selector())
    assert script.args == {"script": "df -h", "max_time": 300.0, "user": "nobody", "workingdir": "/tmp"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"command": ("true",)}, "every node"),
        ({"selector": WEB}, "found none"),
        ({"selector": WEB, "command": ("true",), "script": "true"}, "found both"),
    ],
)
async def test_what_is_not_clear_is_refused(asked: dict[str, Any], words: str) -> None:
    commands = Commands()
    with pytest.raises(BadInput, match=words):
        await ran(commands, **asked)
    assert not commands.asked


async def test_what_failed_comes_first_with_its_output() -> None:
    answer = await ran(
        Commands(ended(1, stdout="a\n"), ended(2, JobState.ERROR, stderr="bad\n"), ended(3, data='{"x":1}')),
        command=("x",),
        selector=WEB,
    )
    assert [(node.node, node.state, node.stdout, node.stderr) for node in answer.nodes] == [
        ("n002", "ERROR", "", "bad\n"),
        ("n001", "OK", "a\n", ""),
        ("n003", "OK", '{"x":1}', ""),
    ]
    assert (answer.finished, answer.states, answer.hint, answer.problems) == (True, {"OK": 2, "ERROR": 1}, "", ())


async def test_of_what_still_runs_the_last_lines_are_shown_in_order() -> None:
    answer = await ran(
        Commands(job(1, JobState.RUNNING), job(2, JobState.QUEUED, reason="The node is offline.")),
        command=("x",),
        selector=WEB,
    )
    first, second = answer.nodes
    assert [line.partition("] ")[2] for line in first.so_far.splitlines()] == ["first", "second"]
    assert (second.reason, second.so_far) == ("The node is offline.", "")
    assert (answer.finished, answer.problems) == (False, ("n002 is offline.",))
    assert "name c" in answer.hint


@pytest.mark.parametrize("count", [1, 10, 1000])
async def test_an_answer_has_its_size_with_any_number_of_nodes(count: int) -> None:
    jobs = [ended(n, stdout="x" * 100_000, stderr="y" * 100_000) for n in range(count)]
    answer = await ran(Commands(*jobs), command=("x",), selector=WEB)
    assert len(msgspec.json.encode(answer.nodes)) <= ANSWER_BYTES + 2
    assert all(node.stdout.endswith("x") and "characters cut" in node.stdout for node in answer.nodes)
    assert (len(answer.nodes) == count) == (not answer.cut)
