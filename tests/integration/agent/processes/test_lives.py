"""Programs across restarts of the agent and the keeper, and changes of the wall clock."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import MESSAGES_TABLE, Level
from tests.keeping import runs
from tests.node_life import Life, life
from tests.support import until


def in_(folder: Path) -> dict[str, str]:
    """Return the arguments of a program that works in this folder."""
    return {"workingdir": str(folder)}


async def test_what_lasts_or_recurs_starts_again_when_its_keeper_was_lost_or_the_host_restarted(home: Path) -> None:
    async with life(home) as node:
        node.shell("lasting", "echo up; exec sleep 600", max_time=-1)
        node.shell("again", "echo turn; exec sleep 600", recurring_period=0.05)
        node.shell("once", "echo up; exec sleep 600", max_restart=3)
        for id_ in ("lasting", "again", "once"):
            await node.printed(id_, "")
        keeper = node.processes._keeper.pid  # pyright: ignore[reportPrivateUsage]
        node.killed = True
    os.kill(keeper, signal.SIGKILL)
    async with life(home) as node:
        await node.printed("lasting", "up", times=2)
        await node.printed("again", "turn", times=2)
        assert [each.level for each in await node.log("lasting")] == [Level.STDOUT] * 2, "it is no failure of its own"
        node.server.kill("lasting", "again", "once")
        for id_ in ("lasting", "again", "once"):
            assert (await node.server.result(id_)).state is JobState.KILLED


async def test_what_recurs_goes_on_in_the_next_life(home: Path) -> None:
    async with life(home) as node:
        node.shell("again", "echo turn", recurring_period=0.2)
        await node.printed("again", "turn")
    async with life(home) as node:
        before = len(await node.log("again"))
        await node.printed("again", "turn", times=before + 2)
        node.server.kill("again")
        assert (await node.server.result("again")).state is JobState.KILLED


async def test_failed_runs_are_counted_over_the_agents_lives(home: Path) -> None:
    os.mkfifo(home / "go")
    async with life(home) as node:
        node.shell("bad", "echo run; [ -e second ] && read line < go; touch second; exit 1", max_restart=1, **in_(home))
        await node.printed("bad", "run", times=2)
        node.killed = True
    async with life(home) as node:
        await asyncio.to_thread((home / "go").write_text, "\n")
        result = await node.server.result("bad")
        assert "failed 2 times" in result.critical
        assert [each.data for each in await node.log("bad", levels="1")] == ["run", "run"]


async def test_that_it_is_not_started_again_is_told_whatever_levels_go_to_the_server(home: Path) -> None:
    async with life(home) as node:
        node.shell("bad", "exit 1", max_restart=1, loglevels="", loglevels_db="", loglevels_ac="")
        assert "failed 2 times" in (await node.server.result("bad")).critical
        assert [told.level for told in await node.log("bad")] == [Level.OPS_ERROR, Level.CRITICAL]
    assert {table for table, _ in node.emitted} == {MESSAGES_TABLE.name}
    assert sum(rows for _, rows in node.emitted) == 2


async def test_what_a_program_leaves_running_is_ended_and_said(home: Path) -> None:
    async with life(home) as node:
        node.shell("two", "sleep 600 & setsid sleep 600 & echo done")
        node.shell("one", "sleep 600 & exit 3")
        node.shell("none", "sleep 0.1 & wait")
        node.shell("killed", "sleep 600 & echo up; wait")
        two, one, none = [await node.server.result(id_) for id_ in ("two", "one", "none")]
        assert (two.state, two.reason) == (JobState.OK, "It left 2 processes running, which were ended with it.")
        assert (one.state, one.reason) == (JobState.ERROR, "exit code 3")
        assert (none.state, none.reason) == (JobState.OK, "")
        await node.printed("killed", "up")
        node.server.kill("killed")
        await node.server.result("killed")
        said = {
            id_: [each.data for each in await node.log(id_, levels="7")] for id_ in ("two", "one", "none", "killed")
        }
        assert said == {
            "two": ["It left 2 processes running, which were ended with it."],
            "one": ["It left a process running, which was ended with it."],
            "none": [],
            "killed": [],
        }


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_while_the_agent_is_away_neither_ends_a_process_nor_costs_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    for name in ("go", "go-on"):  # one for each read: a writer that is slow to close would end the next one
        os.mkfifo(home / name)
    moved, wall = 0.0, time.time
    monkeypatch.setattr(time, "time", lambda: wall() + moved)
    async with life(home) as node:
        node.shell("a", "echo one; read line < go; echo two; read line < go-on; echo three", max_time=900, **in_(home))
        await node.printed("a", "one")
        moved = hours * 3600.0
        await asyncio.to_thread((home / "go").write_text, "\n")
        await node.printed("a", "two")
        node.killed = True
    moved *= 2
    async with life(home) as node:
        await until(node.processes.running)
        node.server.offer("look", cmd="get_process_stats", args={"id": "a"})
        look = await node.server.result("look")
        assert look.state is JobState.OK, look.reason
        assert 0 <= json.loads(look.data)["cpu"] < 1000
        await asyncio.to_thread((home / "go-on").write_text, "\n")
        result = await node.server.result("a")
        assert (result.state, result.streams[0]) == (JobState.OK, "one\ntwo\nthree\n")
        assert [each.data for each in await node.log("a")] == ["one", "two", "three"]
        assert 0 <= result.time < 900_000


async def begun(node: Life, job_id: str) -> None:
    """Wait until the ledger has recorded that this job runs."""
    await until(lambda: job_id in node.server.started)


@pytest.mark.parametrize("keeper", ["the same", "another"])
async def test_a_job_that_its_keeper_never_heard_of_is_started_in_the_next_life(
    home: Path, monkeypatch: pytest.MonkeyPatch, keeper: str
) -> None:
    async def unheard(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async with life(home) as node:
        node.execute("first", "true")
        await node.server.result("first")
        pid = node.processes._keeper.pid  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(node.processes._keeper, "start", unheard)  # pyright: ignore[reportPrivateUsage]
        node.shell("unheard", "echo ran")
        await begun(node, "unheard")
        node.killed = True
    if keeper == "another":
        os.kill(pid, signal.SIGKILL)
    async with life(home) as node:
        result = await node.server.result("unheard")
        if keeper == "another":  # who knows what that had started
            assert result.state is JobState.LOST
            assert "could not be found again" in result.reason
        else:
            assert (result.state, result.streams[0]) == (JobState.OK, "ran\n")
            assert [each.data for each in await node.log("unheard")] == ["ran"]


async def test_a_keeper_that_is_killed_costs_its_jobs_and_nothing_else(home: Path) -> None:
    async with life(home) as node:
        node.shell("once", "echo up; exec sleep 600")
        node.shell("tried", "echo up; exec sleep 600", max_restart=1)
        node.shell("lasting", "echo up; exec sleep 600", max_time=-1)
        for id_ in ("once", "tried", "lasting"):
            await node.printed(id_, "up")
        pids = [kept.pid for kept in node.processes.running()]
        os.kill(node.processes._keeper.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]
        once = await node.server.result("once")
        assert (once.state, once.streams[0]) == (JobState.LOST, "up\n")
        assert once.reason.startswith("Its keeper ended before it")
        await node.printed("lasting", "up", times=2)
        await node.printed("tried", "up", times=2)
        assert not any(pid is not None and runs(pid) for pid in pids)
        node.execute("next", "true")
        assert (await node.server.result("next")).state is JobState.OK
        node.server.kill("lasting", "tried")
        for id_ in ("lasting", "tried"):
            assert (await node.server.result(id_)).state is JobState.KILLED


async def test_what_a_killed_keeper_could_not_write_down_is_told_to_be_lost(home: Path) -> None:
    async with life(home) as node:
        node.shell("once", "echo up; exec sleep 600")
        await node.printed("once", "up")
        for file in (home / "processes" / "children").iterdir():
            file.unlink()  # as if the disk had been full
        (pid,) = (kept.pid for kept in node.processes.running())
        os.kill(node.processes._keeper.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]
        assert (await node.server.result("once")).state is JobState.LOST
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
