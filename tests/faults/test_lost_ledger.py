"""A node's job ledger is gone or damaged while programs of its jobs run: none is ended for it, and none runs twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import Level
from tests.node_life import Life, life
from tests.support import until


def remove(home: Path) -> None:
    for file in home.glob("jobs.db*"):
        file.unlink()


def overwrite(home: Path) -> None:
    remove(home)
    (home / "jobs.db").write_bytes(b"no database" * 1000)


def cut(home: Path) -> None:
    with (home / "jobs.db").open("r+b") as file:
        file.truncate(6000)


def empty(home: Path) -> None:
    remove(home)
    (home / "jobs.db").touch()


def spoil_the_record(home: Path) -> None:
    with sqlite3.connect(home / "jobs.db") as database:
        database.execute("UPDATE job SET record = zeroblob(20)")
    database.close()


HARMS = [remove, overwrite, cut, empty]
RUNS = "echo run >> runs; echo up; read line < go; echo got $line; exit 3"


async def begun(home: Path, **settings: object) -> int:
    """The process of the job `a`, that waits for a line of the pipe `go`; the agent was killed."""
    os.mkfifo(home / "go")
    async with life(home) as node:
        node.shell("a", RUNS, workingdir=str(home), **settings)
        await node.printed("a", "up")
        (kept,) = node.processes.running()
        assert kept.pid is not None
        pid = kept.pid
        node.killed = True
    return pid


async def goes_on(node: Life) -> None:
    await until(lambda: node.processes.get("a") is not None)
    assert node.processes.running()


async def go(home: Path) -> None:
    await asyncio.to_thread((home / "go").write_text, "word\n")


def offer_again(node: Life, home: Path, **settings: object) -> None:
    args = {"cmd": "/bin/sh", "args": ["-c", RUNS], "workingdir": str(home), **settings}
    node.server.offer("a", cmd="execute", args=args, taken=True)


@pytest.mark.parametrize("settings", [{}, {"max_time": -1, "max_restart": 0}, {"max_time": 600}])
@pytest.mark.parametrize("harm", HARMS)
async def test_the_server_still_has_the_job_and_it_gets_its_true_result(
    home: Path, harm: Callable[[Path], None], settings: dict[str, object]
) -> None:
    await begun(home, **settings)
    harm(home)
    async with life(home) as node:
        await goes_on(node)
        offer_again(node, home, **settings)
        await until(lambda: node.server.started)
        await go(home)
        result = await node.server.result("a")
        assert (result.state, result.code) == (JobState.ERROR, 3)
        assert result.streams[0] == "up\ngot word\n"
    assert (home / "runs").read_text() == "run\n"


@pytest.mark.parametrize("killed_again", [False, True])
async def test_it_ends_before_the_server_is_there_and_what_came_of_it_is_known(home: Path, killed_again: bool) -> None:
    await begun(home)
    remove(home)
    async with life(home) as node:
        await goes_on(node)
        await go(home)
        await until(lambda: not node.processes.running())
        node.killed = killed_again
        if not killed_again:
            offer_again(node, home)
            assert (await node.server.result("a")).code == 3
    if killed_again:
        async with life(home) as node:
            offer_again(node, home)
            result = await node.server.result("a")
            assert (result.code, result.streams[0]) == (3, "up\ngot word\n")
    assert (home / "runs").read_text() == "run\n"


@pytest.mark.parametrize("harm", [*HARMS, spoil_the_record])
async def test_nobody_knows_the_job_and_it_goes_on_until_it_ends_and_says_so(
    home: Path, harm: Callable[[Path], None]
) -> None:
    pid = await begun(home)
    harm(home)
    for _ in range(2):  # a second life knows no more
        async with life(home) as node:
            await goes_on(node)
            assert node.processes.running()[0].pid == pid
    async with life(home) as node:
        await goes_on(node)
        await go(home)
        await until(lambda: not node.processes.running())
        said = await node.log("a")
    words = [each.data for each in said if each.level == Level.OPS_ERROR]
    assert words
    assert all("no record of its job" in each for each in words)
    assert [each.data for each in said if each.level == Level.STDOUT] == ["up", "got word"]


@pytest.mark.parametrize("by", ["its server", "a job", "killall"])
async def test_what_nobody_knows_can_be_ended(home: Path, by: str) -> None:
    await begun(home)
    remove(home)
    async with life(home) as node:
        await goes_on(node)
        if by == "its server":
            node.server.kill("a")
        elif by == "a job":
            node.server.offer("k", cmd="kill", args={"id": "a"})
            assert (await node.server.result("k")).state is JobState.OK
        else:
            node.server.offer("k", cmd="killall")
        await until(lambda: not node.processes.running())


async def test_a_job_whose_program_is_gone_too_is_lost_and_never_run_again(home: Path) -> None:
    pid = await begun(home, max_time=-1)
    async with life(home, with_jobs=False) as node:
        await node.processes.ready()
        keeper = node.processes._keeper.pid  # pyright: ignore[reportPrivateUsage]
        node.killed = True
    os.kill(keeper, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home / "processes")
    remove(home)
    for _ in range(2):
        async with life(home) as node:
            offer_again(node, home, max_time=-1)
            result = await node.server.result("a")
            assert result.state is JobState.LOST
            assert "lost or damaged" in result.reason
    assert (home / "runs").read_text() == "run\n"
