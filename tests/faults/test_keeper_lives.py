"""A real keeper that is killed, and connections that are cut, between any two things that an agent does with it.

Each run that began has one exit, which is reported once; and an id whose exit was acknowledged can be used again,
whichever keeper reported it and whichever reports arrived.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.messages import Exited
from quarterdeck.agent.keeper.start import StartRefused
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.model.errors import AlreadyExists
from tests.keeping import Kept

IDS = st.sampled_from(["a", "b"])
DEADLINE_S = 60.0


class Lives(RuleBasedStateMachine):
    """What an agent does with two ids; `told`: exits since the last start of each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.kept = Kept(self.folder / "keeper", Cgroups({}, reason="the test wants none"))
        self.kept.acknowledging = False
        self.used: set[str] = set()  # ids whose exit is not acknowledged
        self.runs = 0

    def teardown(self) -> None:
        self.kept.acknowledging = True
        self.do(self.kept.clean_up())
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(DEADLINE_S):
                return await work

        return self.loop.run_until_complete(limited())

    @property
    def keeper(self) -> KeeperClient:
        return self.kept.keeper

    @rule(child_id=IDS, script=st.sampled_from(["exit 3", "sleep 0.01; exit 3", "exec sleep 1000"]))
    def starts(self, child_id: str, script: str) -> None:
        self.runs += 1
        try:
            self.do(self.kept.shell(child_id, f"echo {self.runs}; {script}"))
        except AlreadyExists:
            assert child_id in self.used, "its exit was acknowledged"
        except StartRefused as error:
            raise AssertionError(str(error)) from error
        else:
            assert child_id not in self.used
            self.used.add(child_id)
            self.kept.exits.pop(child_id, None)

    @precondition(lambda self: self.used)
    @rule(child_id=IDS, grace_s=st.sampled_from([0, 5]))
    def asks_to_end(self, child_id: str, grace_s: float) -> None:
        self.do(self.keeper.kill(child_id, grace_s=grace_s))

    @rule(child_id=IDS)
    def has_its_exit(self, child_id: str) -> None:
        if child_id not in self.used:
            return
        self.do(self.keeper.kill(child_id, grace_s=0))
        self.do(self.kept.until(lambda: child_id in self.kept.exits))
        self.told_once()

    @rule(child_id=IDS)
    def acknowledges_its_exit(self, child_id: str) -> None:
        if child_id in self.used and child_id in self.kept.exits:
            (exited,) = self.kept.exits[child_id]
            self.do(self.keeper.acknowledge({child_id: exited.seq}))
            self.used.discard(child_id)

    @rule()
    def keeper_is_killed(self) -> None:
        if self.keeper.pid:
            try:
                os.kill(self.keeper.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    @rule(hears=st.booleans())
    def connection_is_cut(self, hears: bool) -> None:
        writer = vars(self.keeper)["_writer"]
        if writer is not None:
            writer.transport.abort()
        if hears:
            self.do(self.keeper.connect())

    @rule(turns=st.integers(1, 5))
    def time_goes_on(self, turns: int) -> None:
        async def wait() -> None:
            try:
                async with asyncio.timeout(0.02 * turns):
                    await self.kept.until(lambda: False)
            except TimeoutError:
                return

        self.do(wait())
        self.told_once()

    def told_once(self) -> None:
        for exits in self.kept.exits.values():
            assert len(exits) == 1, exits
            assert isinstance(exits[0], Exited)

    @rule()
    def all_can_be_used_again(self) -> None:
        for child_id in ("a", "b"):
            self.has_its_exit(child_id)
            self.acknowledges_its_exit(child_id)
            self.starts(child_id, "exit 3")
            self.has_its_exit(child_id)
            self.acknowledges_its_exit(child_id)


Lives.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
test_a_run_has_one_exit_and_its_id_is_free_again = Lives.TestCase
