"""The one process manager of the agent: commands, scripts, extensions and services all have their programs kept by it.

    keep ──► kept.py (rules) ──► keeper (starts, ends) ──► output.py ──► message log, statsd, what a result needs

It tells the keeper what to start and to end, gives what that tells to whom it belongs, and acknowledges it once it is
stored: output when the message log has it, an exit when whoever kept the process says that it may be forgotten
(`release`). So a killed agent loses nothing: the next one takes up what the keeper still has. It knows no jobs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.client import Child, Event, Exited, Keeper, Output, OutputLost, Start, User
from quarterdeck.agent.processes.environment import Environment
from quarterdeck.agent.processes.kept import Kept, Process
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.output import joined
from quarterdeck.agent.processes.readings import Past, recall
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.model.errors import AlreadyExists, NotInstalled, QuarterdeckError
from quarterdeck.model.messages import Level, LogLevels
from quarterdeck.model.processes import ProcessSettings, ProcessStats, UsualSettings

log = logging.getLogger(__name__)

__all__ = ["Kept", "Process", "Processes"]

#: between tries to reach a keeper that cannot be had
RETRY_S = 1.0
#: of a child's output taken and not acknowledged; more, and the log is asked to hurry: the keeper sends 256 KiB at most
HURRY_BYTES = 64 * 1024
SERVICE = "service/"
#: how long the end of all is waited for
END_S = 20.0
_EVERYWHERE = Routing.of(LogLevels(loglevels="*", loglevels_db="*", loglevels_ac="*"))


@dataclass(slots=True)
class _Exit:
    """An exit that was told and has not been acknowledged."""

    seq: int
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)


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
        keeper: Keeper | None = None,
    ) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._home = home
        self._messages = messages
        self._environment = environment
        self._measuring = measuring
        self._cgroups = cgroups
        self.usual = usual
        self._keeper = keeper or Keeper(home)
        self._kept: dict[str, Kept] = {}
        self._children: dict[str, Child] = {}  # found at the start, and not yet claimed
        self._unclaimed: dict[str, list[Event]] = {}  # what those told meanwhile
        self._pasts: dict[str, Past] = {}  # what an earlier life read of them
        self._read: dict[str, int] = {}  # and up to which number, of those that are taken up
        self._exits: dict[str, int] = {}  # numbers of exits that may not be acknowledged yet
        self._acks: dict[str, int] = {}
        self._unread: list[str] = []  # how far these were read need not be known once they are acknowledged
        self._unstored: dict[str, int] = {}  # bytes taken since the last acknowledgement
        self._free: dict[str, _Exit] = {}  # ids whose exit is to be acknowledged before they start again
        self._handed: list[tuple[Kept, list[Event]]] = []  # what was told before somebody claimed it
        self._taking = asyncio.Lock()
        self._progress = asyncio.Event()  # towards the end of all
        self._wanted = asyncio.Event()  # somebody needs the keeper
        self._ready = asyncio.Event()  # the keeper has been asked what it has
        self._stored = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        if (home / "keeper.sock").exists() or any(home.glob("children/*")):
            self._wanted.set()

    # ── for those who want something kept ────────────────────────────────────────────────────────────────────────────
    def keep(self, process: Process, *, changed: Callable[[], None] = lambda: None) -> Kept:
        """Start it, or take it up if the keeper still has it, and keep it by its rules."""
        if process.id in self._kept:
            raise AlreadyExists(f"A process '{process.id}' is kept already.")
        kept = self._kept[process.id] = Kept(process, hands=self, changed=changed)
        self._wanted.set()
        if self._ready.is_set():
            self._begin(kept)
        else:
            self._spawn(self._begin_later(kept))
        return kept

    async def has(self, process_id: str) -> bool:
        """Whether a process of an earlier life is there to be taken up: it runs, or its exit was not acknowledged."""
        await self.ready()
        return process_id in self._children

    async def never_had(self, process_id: str, since: float) -> bool:
        """Whether what was to start after `since` (monotonic) never did: the keeper was there, but has it not."""
        return not await self.has(process_id) and self._keeper.since < since

    async def ready(self) -> None:
        """Until it is known what an earlier life left."""
        if self._wanted.is_set():
            await self._ready.wait()

    def get(self, process_id: str) -> Kept | None:
        """The process that is kept by this id."""
        return self._kept.get(process_id)

    def kept(self) -> tuple[Kept, ...]:
        """All of them, also those that wait to be started."""
        return tuple(self._kept.values())

    def running(self) -> tuple[Kept, ...]:
        """Those that run."""
        return tuple(kept for kept in self._kept.values() if kept.pid is not None)

    async def stats(self, kept: Sequence[Kept]) -> list[ProcessStats]:
        """What the trees of these use now; those that do not run have none."""
        return await self._measuring.look(kept)

    def release(self, process_id: str) -> None:
        """What came of it is safe where it belongs: it may be forgotten. One that still runs is ended."""
        kept = self._kept.get(process_id)
        if kept is not None and kept.pid is not None:
            kept.tell(Ending.KILLED)
            self._spawn(self._see_off(kept))
        elif kept is not None:
            kept.stop()
            del self._kept[process_id]
            self._measuring.forget(process_id)
            self._forget_exit(process_id)
        elif process_id in self._children:
            self._disown(process_id)

    def disown_all_but(self, known: Collection[str], *, services: bool = False) -> None:
        """Of jobs (or services) only these are known: what else the keeper has is stored, and ended where it runs."""
        self._spawn(self._disown_others(frozenset(known), services=services))

    def killall(self) -> int:
        """End all; those that are remembered or recur start again. How many ran."""
        running = self.running()
        for kept in self.kept():
            kept.tell(Ending.KILLALL)
        return len(running)

    async def end_all(self) -> int:
        """End all because the agent ends for good; those that are remembered start in its next life. How many ran."""
        running = self.running()
        for kept in self.kept():
            if kept.process.settings.remembered:
                kept.put_down()
            else:
                kept.tell(Ending.KILLED, why="ended with the agent")
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while self._exits or self._free or any(kept.pid is not None for kept in self.kept()):
                    await self._progress.wait()
                    self._progress.clear()
        if self._keeper.pid:
            await self._keeper.stop()
        return len(running)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def run(self) -> None:
        """For ever: hear the keeper, once there is need of one."""
        await self._wanted.wait()
        async with asyncio.TaskGroup() as group:
            for part in (self._hear(), self._acknowledge(), self._measuring.run(self.running)):
                group.create_task(part)

    async def close(self) -> None:
        """Store and acknowledge what was heard, and leave the keeper and what it keeps to the next life."""
        for kept in self._kept.values():
            kept.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._measuring.flush()
        if self._keeper.pid:
            await self._messages.flush()
            await self._keeper.acknowledge(self._acks)
            await self._keeper.close()
        self._cgroups.leave()

    async def _hear(self) -> None:
        while True:
            try:
                if not self._ready.is_set():
                    children = await self._keeper.connect()
                    self._pasts = await recall(self._messages, children)
                    self._children = {child.id: child for child in children}
                    self._ready.set()
                await self._take(await self._keeper.events())
            except QuarterdeckError as error:
                log.warning("processes cannot be kept now: %s", error)
                if isinstance(error, NotInstalled):
                    self._ready.set()  # so that each start is refused, in these words
                    return
                await asyncio.sleep(RETRY_S)

    async def _acknowledge(self) -> None:
        while True:
            await self._stored.wait()
            self._stored.clear()
            acks, self._acks, self._unstored = self._acks, {}, {}
            unread, self._unread = self._unread, []
            await self._messages.written()
            await self._keeper.acknowledge(acks)
            for process_id in unread:
                await self._messages.put(Run(Source(process_id), 0, (), (), ()), _EVERYWHERE, reading=None)
            for process_id in acks.keys() & self._free.keys():
                if acks[process_id] >= self._free[process_id].seq:
                    self._free.pop(process_id).acknowledged.set()
                    self._progress.set()

    # ── what the keeper tells ────────────────────────────────────────────────────────────────────────────────────────
    async def _take(self, events: Iterable[Event]) -> None:
        """Everything that came, process by process, after what was told of it before."""
        by_process: dict[str, list[Event]] = {}
        for event in events:
            by_process.setdefault(event.id, []).append(event)
        async with self._taking:
            while self._handed:
                await self._told(*self._handed.pop(0))
            for process_id, told in by_process.items():
                if kept := self._kept.get(process_id):
                    await self._told(kept, told)
                else:
                    self._unclaimed.setdefault(process_id, []).extend(told)

    def _claimed(self, kept: Kept, child: Child) -> None:
        """This belongs to it, and what that told until now."""
        kept.running(child)
        past = self._pasts.pop(kept.id, None)
        if past is not None:
            kept.output.recall(past)
            self._read[kept.id] = past.reading.seq
        if told := self._unclaimed.pop(kept.id, None):
            self._handed.append((kept, told))
            self._spawn(self._take(()))

    async def _told(self, kept: Kept, events: list[Event]) -> None:
        output: list[Output] = []
        read = self._read.get(kept.id, 0)
        for event in events:
            if event.seq <= read and not isinstance(event, Exited):
                self._ack(kept.id, event.seq)  # an earlier life stored it
                continue
            if not isinstance(event, Output):
                await self._printed(kept, output)
                output = []
            if missed := kept.output.missed(event):
                text = f"{missed} bytes that it printed are lost: the agent was away, or its disk was full."
                self.note(kept, Level.OPS_ERROR, text)
            match event:
                case Output():
                    output.append(event)
                case OutputLost():
                    self._ack(kept.id, event.seq)
                case Exited():
                    await self._exited(kept, event)
        await self._printed(kept, output)

    async def _printed(self, kept: Kept, output: list[Output]) -> None:
        chunks = joined(output)
        for stream, chunk in chunks[:-1]:
            await self._put(kept, kept.output.take(stream, chunk))
        if output:
            run = kept.output.take(*chunks[-1])
            await self._put(kept, run, reading=kept.reading(output[-1].seq))
            self._unstored[kept.id] = self._unstored.get(kept.id, 0) + sum(len(chunk) for _, chunk in chunks)
            self._ack(kept.id, output[-1].seq)
            if self._unstored[kept.id] >= HURRY_BYTES:
                self._messages.hurry()

    async def _exited(self, kept: Kept, exit_: Exited) -> None:
        for run in kept.output.end():
            await self._put(kept, run, reading=kept.reading(exit_.seq))
        self._read.pop(kept.id, None)
        self._exits[kept.id] = exit_.seq
        self._free[kept.id] = _Exit(exit_.seq)
        kept.exited(exit_)
        if kept.down:
            self._forget_exit(kept.id)

    async def _put(self, kept: Kept, run: Run, *, reading: bytes = b"") -> None:
        if kept.output.samples:
            samples, kept.output.samples = kept.output.samples, []
            self._measuring.sampled(kept.process, samples)
        await self._messages.put(run, kept.routing, reading=reading)

    def _ack(self, process_id: str, seq: int) -> None:
        self._acks[process_id] = seq
        self._stored.set()

    def _forget_exit(self, process_id: str) -> None:
        seq = self._exits.pop(process_id, None)
        if seq is not None:
            self._ack(process_id, seq)
            self._unread.append(process_id)

    # ── what a kept process asks for ─────────────────────────────────────────────────────────────────────────────────
    def launch(self, kept: Kept) -> None:
        """Start it."""
        self._spawn(self._launch(kept))

    def end(self, kept: Kept) -> None:
        """TERM to its whole tree, KILL after its grace."""
        self._spawn(self._keeper.kill(kept.id, grace_s=kept.process.settings.grace))

    def note(self, kept: Kept, level: Level, text: str) -> None:
        """A message of ours in its log, forwarded."""
        self._spawn(self._messages.put(kept.output.noted(level, text), _EVERYWHERE))

    async def _launch(self, kept: Kept) -> None:
        run = kept.runs
        if free := self._free.get(kept.id):
            self._forget_exit(kept.id)  # of the run before
            self._messages.hurry()
            await free.acknowledged.wait()
        try:
            # a directory of users may take seconds to answer
            start = await asyncio.to_thread(self._start, kept) if kept.process.settings.user else self._start(kept)
            await self._keeper.start(start, started=lambda child: kept.running(child, run=run))
        except Exception as error:  # noqa: BLE001 (whatever it is: whoever waits for the program is to hear of it)
            kept.refused(str(error) if isinstance(error, QuarterdeckError) else f"A fault of the agent: {error!r}.")

    def _start(self, kept: Kept) -> Start:
        process, settings = kept.process, kept.process.settings
        plan = self._cgroups.plan(process.id, settings.limits)
        if plan.unenforced:
            log.warning("a limit of '%s' cannot be held: %s", process.id, "; ".join(plan.unenforced))
        return Start(
            id=process.id,
            argv=process.argv,
            env=self._environment.variables(process.id, settings.env, user=settings.user),
            cwd=self._environment.folder(settings.workingdir, user=settings.user),
            user=User.named(settings.user) if settings.user else None,
            stdin=process.stdin,
            plan=plan,
            restarts=kept.state.restarts,
        )

    # ── what an earlier life left ────────────────────────────────────────────────────────────────────────────────────
    async def _begin_later(self, kept: Kept) -> None:
        await self._ready.wait()
        self._begin(kept)

    def _begin(self, kept: Kept) -> None:
        if child := self._children.pop(kept.id, None):
            self._claimed(kept, child)
        else:
            kept.begin()

    async def _disown_others(self, known: frozenset[str], *, services: bool) -> None:
        await self.ready()
        for process_id in list(self._children):
            if process_id.startswith(SERVICE) is services and process_id not in known:
                self._disown(process_id)

    def _disown(self, process_id: str) -> None:
        """Nobody wants it: what it prints is stored, and it is ended."""
        log.warning("the process '%s' belongs to nothing that is known here: it is ended", process_id)
        stray = Kept(Process(id=process_id, argv=("",), settings=ProcessSettings()), hands=self)
        self._kept[process_id] = stray
        self._claimed(stray, self._children.pop(process_id))
        stray.tell(Ending.KILLED)
        self._spawn(self._see_off(stray))

    async def _see_off(self, stray: Kept) -> None:
        await stray.over()
        if self._kept.get(stray.id) is stray:
            self.release(stray.id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
