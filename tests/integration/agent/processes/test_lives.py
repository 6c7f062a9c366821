"""What becomes of programs over lives of the agent, of the keeper and of the wall clock."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import Level
from tests.node_life import Life, clean_up, life
from tests.support import until


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    folder = tmp_path / "node"
    await asyncio.to_thread(folder.mkdir)
    yield folder
    await clean_up(folder)


def in_(folder: Path) -> dict[str, str]:
    """The setting of a program that works in this folder."""
    return {"workingdir": str(folder)}


async def printed(node: Life, job_id: str, text: str, *, times: int = 1) -> None:
    """Wait until a job has printed this so often."""
    while sum(text in message.data for message in await node.log(job_id)) < times:  # noqa: ASYNC110 (it has no event)
        await asyncio.sleep(0.02)


async def test_what_lasts_or_recurs_starts_again_when_its_keeper_was_lost_or_the_host_restarted(home: Path) -> None:
    async with life(home) as node:
        node.shell("lasting", "echo up; exec sleep 600", max_time=-1)
        node.shell("again", "echo turn; exec sleep 600", recurring_period=0.05)
        node.shell("once", "echo up; exec sleep 600", max_restart=3)
        for id_ in ("lasting", "again", "once"):
            await printed(node, id_, "")
        keeper = node.processes._keeper.pid  # pyright: ignore[reportPrivateUsage]
        node.killed = True
    os.kill(keeper, signal.SIGKILL)
    async with life(home) as node:
        await printed(node, "lasting", "up", times=2)
        await printed(node, "again", "turn", times=2)
        assert [each.level for each in await node.log("lasting")] == [Level.STDOUT] * 2, "it is no failure of its own"
        node.server.kill("lasting", "again", "once")
        for id_ in ("lasting", "again", "once"):
            assert (await node.server.result(id_)).state is JobState.KILLED


async def test_what_recurs_goes_on_in_the_next_life(home: Path) -> None:
    async with life(home) as node:
        node.shell("again", "echo turn", recurring_period=0.2)
        await printed(node, "again", "turn")
    async with life(home) as node:
        before = len(await node.log("again"))
        await printed(node, "again", "turn", times=before + 2)
        node.server.kill("again")
        assert (await node.server.result("again")).state is JobState.KILLED


async def test_failed_runs_are_counted_over_the_agents_lives(home: Path) -> None:
    os.mkfifo(home / "go")
    async with life(home) as node:
        node.shell("bad", "echo run; [ -e second ] && read line < go; touch second; exit 1", max_restart=1, **in_(home))
        await printed(node, "bad", "run", times=2)
        node.killed = True
    async with life(home) as node:
        await asyncio.to_thread((home / "go").write_text, "\n")
        result = await node.server.result("bad")
        assert "failed 2 times" in result.critical
        assert [each.data for each in await node.log("bad", levels="1")] == ["run", "run"]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_while_the_agent_is_away_neither_ends_a_process_nor_costs_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    os.mkfifo(home / "go")
    moved, wall = 0.0, time.time
    monkeypatch.setattr(time, "time", lambda: wall() + moved)
    async with life(home) as node:
        node.shell("a", "echo one; read line < go; echo two; read line < go; echo three", max_time=900, **in_(home))
        await printed(node, "a", "one")
        moved = hours * 3600.0
        await asyncio.to_thread((home / "go").write_text, "\n")
        await printed(node, "a", "two")
        node.killed = True
    moved *= 2
    async with life(home) as node:
        await until(node.processes.running)
        node.server.offer("look", cmd="get_process_stats", args={"id": "a"})
        look = await node.server.result("look")
        assert look.state is JobState.OK, look.reason
        assert 0 <= json.loads(look.data)["cpu"] < 1000
        await asyncio.to_thread((home / "go").write_text, "\n")
        result = await node.server.result("a")
        assert (result.state, result.streams[0]) == (JobState.OK, "one\ntwo\nthree\n")
        assert [each.data for each in await node.log("a")] == ["one", "two", "three"]
        assert 0 <= result.time < 900_000
