"""Every kind of program, in every phase a job of it can be in when the agent, its keeper or both end: one true result.

The kinds cover every stage of the ledger and every phase of the rules, which the last test holds them to.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from quarterdeck.agent.jobs.records import Stage
from quarterdeck.model.jobs import JobState, is_final
from quarterdeck.model.processes import Phase
from tests.node_life import Life, life
from tests.support import until

J = JobState
GO = "echo up; while ! [ -e go ]; do sleep 0.02; done; exit 3"


class Kind(NamedTuple):
    """A job `a`, its phase when a process ends, and the results that it may have then."""

    script: str
    rules: dict[str, Any]
    stage: Stage
    phase: Phase | None  #: of its process; None: it has none
    ends: frozenset[JobState]  #: whatever ended
    without_keeper: frozenset[JobState] = frozenset()  #: and these when it was the keeper
    again: bool = False  #: it starts again and again until it is ended


def results(*states: JobState) -> frozenset[JobState]:
    return frozenset(states)


KINDS = {
    "waits for its turn": Kind("exit 0", {"queue": "q"}, Stage.TAKEN, None, results(J.OK)),
    "runs": Kind(GO, {}, Stage.RUNNING, Phase.RUNNING, results(J.ERROR), results(J.LOST)),
    "runs within a time": Kind(
        "echo up; exec sleep 1000", {"max_time": 2}, Stage.RUNNING, Phase.RUNNING, results(J.TIMEOUT), results(J.LOST)
    ),
    "lasts": Kind(
        "echo up; exec sleep 1000", {"max_time": -1}, Stage.RUNNING, Phase.RUNNING, results(J.KILLED)
    ),
    "lasts and fails": Kind(
        "exit 1", {"max_time": -1, "max_restart": -1}, Stage.RUNNING, Phase.WAITING, results(J.KILLED), again=True
    ),
    "recurs": Kind("exit 0", {"recurring_period": 0.4}, Stage.RUNNING, Phase.WAITING, results(J.KILLED), again=True),
    "recurs and fails": Kind(
        "exit 1", {"recurring_period": 0.4}, Stage.RUNNING, Phase.WAITING, results(J.KILLED), again=True
    ),
    "fails and is tried again": Kind(
        "exit 1", {"max_restart": 4}, Stage.RUNNING, Phase.WAITING, results(J.ERROR), results(J.LOST)
    ),
    "is slow to end": Kind(
        "trap '' TERM; echo up; while :; do sleep 0.05; done", {"grace": 1}, Stage.RUNNING, Phase.ENDING,
        results(J.KILLED), results(J.LOST),
    ),
    "runs too long and is slow to end": Kind(
        "trap '' TERM; echo up; while :; do sleep 0.05; done", {"grace": 1, "max_time": 0.3}, Stage.RUNNING,
        Phase.ENDING, results(J.TIMEOUT), results(J.LOST),
    ),
    "recurs, and is slow to end": Kind(
        "trap '' TERM; echo up; while :; do sleep 0.05; done",
        {"grace": 0.5, "max_time": 0.3, "recurring_period": 0.3}, Stage.RUNNING, Phase.ENDING, results(J.KILLED),
        again=True,
    ),
    "is over": Kind("exit 3", {}, Stage.DONE, None, results(J.ERROR)),
}  # fmt: skip


def runs_of(home: Path) -> int:
    return len((home / "runs").read_text().splitlines()) if (home / "runs").exists() else 0


def phase_of(node: Life) -> Phase | None:
    kept = node.processes.get("a")
    return kept.state.phase if kept is not None else None


async def stage_of(node: Life) -> Stage | None:
    assert node.jobs is not None
    record = (await node.jobs._ledger.find(["a"])).get("a")  # pyright: ignore[reportPrivateUsage]
    return record.stage if record is not None else None


async def brought(node: Life, home: Path, kind: Kind) -> int:
    """Bring the job into the phase of its kind; return the process id of its keeper."""
    if kind.stage is Stage.TAKEN:
        node.shell("before", "echo up; exec sleep 1000", queue="q")
        await node.printed("before", "up")
    node.shell("a", f"echo run >> runs; {kind.script}", workingdir=str(home), **kind.rules)
    if "echo up" in kind.script:
        await node.printed("a", "up")
    if kind.phase is Phase.ENDING and "max_time" not in kind.rules:
        node.server.kill("a")
    await until(lambda: kind.phase is None or phase_of(node) is kind.phase)

    async def is_there() -> bool:
        return await stage_of(node) is kind.stage

    await until(is_there)
    return await keeper_of(node)


async def keeper_of(node: Life) -> int:
    await until(lambda: node.processes._keeper.pid)  # pyright: ignore[reportPrivateUsage]
    return node.processes._keeper.pid  # pyright: ignore[reportPrivateUsage]


async def comes_to_its_end(node: Life, home: Path, kind: Kind, runs: int) -> JobState:
    if kind.again:
        await until(lambda: runs_of(home) >= runs + 2)
    if kind.stage is Stage.TAKEN:
        node.server.kill("before")
    elif kind.ends == {J.KILLED} and kind.phase is not Phase.ENDING:
        if not kind.again:
            await until(lambda: phase_of(node) is Phase.RUNNING)
        node.server.kill("a")
    elif kind.again:
        node.server.kill("a")
    (home / "go").touch()
    return (await node.server.result("a")).state


@pytest.mark.parametrize("ends", ["agent", "agent, killed", "keeper", "both"])
@pytest.mark.parametrize("name", KINDS)
async def test_a_job_has_one_true_result_whatever_process_ends_in_whatever_phase(
    home: Path, caplog: pytest.LogCaptureFixture, name: str, ends: str
) -> None:
    kind = KINDS[name]
    async with life(home, linger_s=30) as node:
        keeper = await brought(node, home, kind)
        runs = runs_of(home)
        if ends == "keeper":
            os.kill(keeper, signal.SIGKILL)
            state = await comes_to_its_end(node, home, kind, runs)
            said = node.server.results
        node.killed = ends != "agent"
    if ends != "keeper":
        if ends == "both":
            os.kill(keeper, signal.SIGKILL)
        async with life(home, linger_s=30) as node:
            state = await comes_to_its_end(node, home, kind, runs)
            said = node.server.results
    without = kind.without_keeper if ends in ("keeper", "both") else frozenset[JobState]()
    assert state in kind.ends | without
    assert is_final(state)
    assert len([result for result in said if result.id == "a"]) == 1
    if not kind.again and "max_restart" not in kind.rules and kind.rules.get("max_time") != -1:
        assert runs_of(home) == 1
    assert not [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]


def test_every_stage_and_every_phase_is_walked() -> None:
    assert {kind.stage for kind in KINDS.values()} == set(Stage) - {Stage.STORED, Stage.STRIPPED}
    assert {kind.phase for kind in KINDS.values()} - {None} == set(Phase) - {Phase.DONE}
