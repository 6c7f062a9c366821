"""Each system call of the keeper refused, at each place where it makes it: it lives, and its children do.

Once at each place; and there and wherever it is made next, so often that all that is tried again at once is refused
too. Nothing here depends on time: a place is a line of the keeper, not a count of calls.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.agent.keeper.start import StartRefused, User
from quarterdeck.agent.processes.cgroups import Cgroups
from tests.faults.faulty_keeper_calls import CALLS, ELSEWHERE, OTHERS_WITHOUT_CGROUPS
from tests.keeping import Kept, end, runs
from tests.support import until

DEADLINE_S = 60.0
#: calls that are refused one after the other
TIMES = (1, 20)
NOBODY = User.named("nobody") if os.geteuid() == 0 else None


class Faulty:
    """A keeper that refuses, a child that was there before, and what is done with it again and again."""

    def __init__(self, kept: Kept, process: asyncio.subprocess.Process) -> None:
        self.kept, self.process = kept, process
        self.fault, self.refused = kept.home / "fault", kept.home / "refused"
        self.turn = 0

    def refuse(self, call: str, number: int, times: int) -> None:
        os.truncate(self.refused, 0)
        part = self.kept.home / "fault.part"
        part.write_text(f"{call} {number} {times}\n")
        part.rename(self.fault)

    def heal(self) -> None:
        self.fault.unlink(missing_ok=True)

    async def one(self, child_id: str, script: str, **more: object) -> None:
        """Start it, and have its one exit, if it is not refused in words."""
        try:
            child = await self.kept.shell(child_id, script, **more)
        except StartRefused:
            return
        await self.kept.until(lambda: child_id in self.kept.exits)
        (exited,) = self.kept.exits[child_id]
        assert not exited.lost
        assert exited.code in (0, 127, -signal.SIGTERM), "127: what was forked could not say why"
        assert not runs(child.pid)

    async def work(self) -> None:
        """What a keeper does for an agent that has just come: one by vfork, one with input and output, one of another
        user, one that is killed."""
        self.turn += 1
        await self.kept.keeper.close()
        ids = [f"{self.turn}-{place}" for place in range(4)]
        big = "cat; head -c 300000 /dev/zero; sleep 98765 & exit 0"
        ended = asyncio.create_task(self.kill(ids[3]))
        await asyncio.gather(
            self.one(ids[0], "exit 0"),
            self.one(ids[1], big, stdin=b"in\n", spool_bytes=100_000),
            self.one(ids[2], "echo hi", **({"user": NOBODY} if NOBODY else {})),
            self.one(ids[3], "exec sleep 98765"),
        )
        ended.cancel()

    async def kill(self, child_id: str) -> None:
        while True:  # whenever it has begun
            await asyncio.sleep(0.02)
            await self.kept.keeper.kill(child_id, grace_s=DEADLINE_S)


@pytest.fixture
async def faulty(tmp_path: Path, held_by: str) -> AsyncIterator[Faulty]:
    cgroups = Cgroups.detect(tmp_path) if held_by == "cgroups" else Cgroups({}, reason="the test wants none")
    home = tmp_path / "keeper"
    program = Path(__file__).with_name("faulty_keeper.py")
    with (tmp_path / "keeper.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, str(program), str(home), stderr=log)
    await until((home / "keeper.sock").exists)
    kept = Kept(home, cgroups)
    here = Faulty(kept, process)
    yield here
    here.heal()
    await end(kept.keeper, home)
    assert await process.wait() == 0, (tmp_path / "keeper.log").read_text()
    await kept.remove_groups()


@pytest.mark.parametrize(
    ("held_by", "call", "number"),
    [
        *(("cgroups", call, number) for call, number in CALLS),
        *(("groups", call, number) for call, number in CALLS if call in OTHERS_WITHOUT_CGROUPS),
    ],
)
async def test_whatever_is_refused_the_keeper_and_its_children_live(faulty: Faulty, call: str, number: int) -> None:
    kept = faulty.kept
    before = await kept.shell("before", "echo there; exec sleep 98765")
    await kept.output("before", b"there")
    places = 0
    for times in TIMES:
        while True:
            faulty.refuse(call, number, times)
            async with asyncio.timeout(DEADLINE_S):
                await faulty.work()
            refused = faulty.refused.stat().st_size > 0
            faulty.heal()
            assert faulty.process.returncode is None, "the keeper ended"
            assert runs(before.pid), (call, times, kept.exits.get("before"))
            assert kept.keeper.pid == faulty.process.pid
            if not refused:
                break
            places += 1
    async with asyncio.timeout(DEADLINE_S):
        await faulty.one("after", "exit 0")
    assert [exit_.code for exit_ in kept.exits["after"]] == [0]
    assert places or call in ELSEWHERE, f"the keeper never called {call}"


def test_every_error_has_a_name() -> None:
    assert {number for _, number in CALLS} <= set(errno.errorcode)
