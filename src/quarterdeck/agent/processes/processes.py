"""The process manager of the agent, which runs the programs of commands, scripts, extensions and services.

    keep ─► SupervisedProcess (rules) ─► KeeperLauncher ─► keeper ─► Deliveries ─► message log, statsd, result

It owns the list of processes and receives the keeper's events. The launcher starts programs, the deliveries store and
acknowledge, and children of an earlier agent wait in `Unclaimed` until somebody claims them. It knows nothing about
jobs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.deliveries import Deliveries
from quarterdeck.agent.processes.environment import Environment
from quarterdeck.agent.processes.launcher import KeeperLauncher
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.readings import recall
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.agent.processes.unclaimed import FoundChild, Judge, Unclaimed
from quarterdeck.kit.tasks import TaskSet, noticed
from quarterdeck.model.errors import AlreadyExists, NotInstalled, QuarterdeckError
from quarterdeck.model.processes import ProcessStats, UsualSettings

log = logging.getLogger(__name__)

#: between tries to reach a keeper that does not answer
RETRY_S = 1.0
SERVICE = "service/"
#: how long `end_all` waits
END_S = 20.0


class Processes:
    """All processes of this agent. `home`: a folder for the keeper. Made inside an event loop; run `run` in it."""

    def __init__(
        self,
        home: Path,
        *,
        messages: MessageLog,
        environment: Environment,
        measuring: Measuring,
        cgroups: Cgroups,
        usual: UsualSettings,
        keeper: KeeperClient | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._messages = messages
        self._measuring = measuring
        self._cgroups = cgroups
        self._keeper = keeper or KeeperClient(home)
        self._retry_s = retry_s
        self._processes: dict[str, SupervisedProcess] = {}
        self._tasks = TaskSet()
        self._deliveries = Deliveries(
            self._keeper,
            messages=messages,
            measuring=measuring,
            oom_kills=cgroups.oom_kills,
            spawn=self._tasks.spawn,
        )
        self._launcher = KeeperLauncher(
            self._keeper,
            deliveries=self._deliveries,
            messages=messages,
            environment=environment,
            cgroups=cgroups,
            usual=usual,
            spawn=self._tasks.spawn,
        )
        self._unclaimed = Unclaimed(claim=self._claim, release=self.release, spawn=self._tasks.spawn)
        self._wanted = asyncio.Event()  # somebody needs the keeper
        self._ready = asyncio.Event()  # the keeper has reported its children
        if (home / "keeper.sock").exists() or any(home.glob("children/*")):
            self._wanted.set()

    # ── for those who want a process kept ────────────────────────────────────────────────────────────────────────────
    def keep(self, process: Process, *, changed: Callable[[], None] = lambda: None) -> SupervisedProcess:
        """Start it, or claim it if the keeper still has it, and keep it by its rules."""
        if unknown := self._unclaimed.pop_unknown(process.id):
            unknown.become(process, changed=changed)
            return unknown
        if process.id in self._processes:
            raise AlreadyExists(f"A process '{process.id}' is kept already.")
        supervised = self._processes[process.id] = SupervisedProcess(process, launcher=self._launcher, changed=changed)
        self._wanted.set()
        if self._ready.is_set():
            self._begin(supervised)
        else:
            self._tasks.spawn(self._begin_later(supervised))
        return supervised

    async def has(self, process_id: str) -> bool:
        """Return whether a process of an earlier agent can be claimed: it runs, or its exit was not acknowledged."""
        await self.ready()
        return process_id in self._unclaimed

    async def never_had(self, process_id: str, since: float) -> bool:
        """Return whether what was to start after `since` (monotonic) never did: the keeper ran without it."""
        return not await self.has(process_id) and self._keeper.since < since

    async def ready(self) -> None:
        """Wait until it is known what an earlier agent left."""
        if self._wanted.is_set():
            await self._ready.wait()

    def get(self, process_id: str) -> SupervisedProcess | None:
        """Return the process of this id."""
        return self._processes.get(process_id)

    def kept(self) -> tuple[SupervisedProcess, ...]:
        """Return all processes, also those that wait to be started."""
        return tuple(self._processes.values())

    def running(self) -> tuple[SupervisedProcess, ...]:
        """Return the processes that run."""
        return tuple(process for process in self._processes.values() if process.pid is not None)

    async def stats(self, processes: Sequence[SupervisedProcess]) -> list[ProcessStats]:
        """Return what the trees of these use now; those that do not run have none."""
        return await self._measuring.look(processes)

    def release(self, process_id: str) -> None:
        """Forget a process, because its result is stored where it belongs. One that still runs is ended first."""
        process = self._processes.get(process_id)
        if process is None:
            self._unclaimed.end_child(process_id)
        elif process.pid is not None:
            process.tell(Ending.KILLED)
            self._tasks.spawn(self._release_later(process))
        else:
            process.stop()
            del self._processes[process_id]
            self._measuring.forget(process_id)
            self._deliveries.release(process_id)

    def judge_jobs(self, judge: Judge) -> None:
        """End the jobs' processes of an earlier agent that are over, and keep those of which nothing is known."""
        self._tasks.spawn(self._judge(judge, lambda process_id: not process_id.startswith(SERVICE)))

    def judge_services(self, judge: Judge) -> None:
        """Do the same with the processes of services."""
        self._tasks.spawn(self._judge(judge, lambda process_id: process_id.startswith(SERVICE)))

    def end_unknown(self, process_id: str, why: str) -> bool:
        """End a process of which nothing is known; return whether there is one. `why` follows "It was"."""
        return self._unclaimed.end_unknown(process_id, why)

    def killall(self) -> int:
        """End all; those that are remembered or recur start again. Return how many ran."""
        running = self.running()
        for process in self.kept():
            process.tell(Ending.KILLALL)
        return len(running)

    async def end_all(self) -> int:
        """End all with the agent; those that are remembered start with the next one. Return how many ran."""
        running = self.running()
        for process in self.kept():
            if process.process.settings.remembered:
                process.put_down()
            else:
                process.tell(Ending.KILLED, why="ended with the agent")
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._deliveries.settle(lambda: not self.running())
        if self._keeper.pid:
            await self._keeper.stop()
        return len(running)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def run(self) -> None:
        """Hear the keeper for ever, from when somebody needs it."""
        await self._wanted.wait()
        async with asyncio.TaskGroup() as group:
            for part in (self._hear(), self._deliveries.run(), self._measuring.run(self.running)):
                group.create_task(noticed(part))

    async def close(self) -> None:
        """Store and acknowledge what was heard, and leave the keeper and its children to the next agent."""
        for process in self._processes.values():
            process.stop()
        await self._tasks.cancel()
        await self._measuring.flush()
        await self._deliveries.close()
        await self._keeper.close()
        self._cgroups.leave()

    async def _hear(self) -> None:
        while True:
            try:
                if not self._ready.is_set():
                    children = await self._keeper.connect()
                    pasts = await recall(self._messages, children)
                    self._unclaimed.found({child.id: FoundChild(child, pasts.get(child.id)) for child in children})
                    self._ready.set()
                self._deliveries.take(await self._keeper.events())
            except QuarterdeckError as error:
                log.warning("processes cannot be kept now: %s", error)
                if isinstance(error, NotInstalled):
                    self._ready.set()  # so that each start is refused with this error
                    return
                await asyncio.sleep(self._retry_s)

    # ── starting and claiming ────────────────────────────────────────────────────────────────────────────────────────
    async def _begin_later(self, process: SupervisedProcess) -> None:
        await self._ready.wait()
        self._begin(process)

    def _begin(self, process: SupervisedProcess) -> None:
        if child := self._unclaimed.pop_child(process.id):
            process.adopt(child.status)
            self._deliveries.open(process, child.past)
        else:
            self._deliveries.open(process)
            process.begin()

    def _claim(self, process: Process) -> SupervisedProcess:
        supervised = self._processes[process.id] = SupervisedProcess(process, launcher=self._launcher)
        self._begin(supervised)
        return supervised

    async def _judge(self, judge: Judge, belongs: Callable[[str], bool]) -> None:
        await self.ready()
        await self._unclaimed.judge(judge, belongs=belongs)

    async def _release_later(self, process: SupervisedProcess) -> None:
        await process.over()
        if self._processes.get(process.id) is process:
            self.release(process.id)
