"""One service on this node: what is wanted of it, its process, its checks, and the task that brings them together.

Its order among others is the set's to say (`House`), its restarts are those of the process manager's rules, its state
is read by `reading.py`. When the agent ends, its process goes on, and the next life takes it up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Protocol

import msgspec

from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Kept, Process, Processes
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.agent.services.health import Checks
from quarterdeck.agent.services.memory import Memory, Over, Told
from quarterdeck.agent.services.reading import Health, Read, is_there, read_kept, read_over
from quarterdeck.model.processes import FOREVER, Phase
from quarterdeck.model.services import (
    ALIVE_S,
    SERVICE_TRANSITIONS,
    HealthCheck,
    Service,
    ServiceState,
    ServiceStatus,
)

log = logging.getLogger(__name__)

#: between looks in its start period until a service is well, where its interval is longer
EAGER_S = 0.5
#: after a fault of ours, until the service is looked after again
FAULT_S = 5.0


class House(Protocol):
    """What a seat shares with the others, and asks of the set."""

    processes: Processes
    memory: Memory
    checks: Checks
    templates: Templates

    def waits_for(self, seat: Seat) -> str:
        """Why it may not start yet, in words; nothing when it may."""
        ...

    def may_go(self, seat: Seat) -> bool:
        """Whether nothing that is to go too comes after it."""
        ...

    def changed(self, seat: Seat) -> None:
        """Its state is another."""
        ...

    def gone(self, seat: Seat) -> None:
        """It was to go, and is not there any more."""
        ...


class Seat:
    """A service's place."""

    def __init__(self, name: str, *, revision: int, house: House) -> None:
        self.name = name
        self.wanted: Service | None = None
        self.after: tuple[str, ...] = ()  #: what it comes after; it stays when it is to go
        self.turn = 0  #: grows each time it begins anew
        self.status = ServiceStatus(name=name, state=ServiceState.WAITING, revision=revision, since=time.time())
        self._house = house
        self.refused = ""  #: why it may not run here, in words
        self._program = self._wanted_version = ""  # of what is wanted
        self._kept: Kept | None = None
        self._told = Told(program="")  #: what its process was started with
        self._over: Over | None = None
        self._again = False
        self._stopping = False
        self._wait = ""
        self._health = Health()
        self._watching: asyncio.Task[None] | None = None
        self._watched: HealthCheck | None = None
        self._began = 0.0  #: of the run seen last
        self._runs = 0  #: how many were seen of this process
        self._begun = asyncio.Event()  #: another was seen
        self._alive: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._keep(), name=f"service {name}")

    @property
    def id(self) -> str:
        """Of its process."""
        return f"service/{self.name}"

    @property
    def there(self) -> bool:
        """Whether what comes after it may start."""
        return self.wanted is not None and is_there(self.wanted, self.status.state, over=self._over, kept=self._kept)

    @property
    def occupied(self) -> bool:
        """Whether it has a process, or may have."""
        return self._kept is not None

    def want(self, service: Service | None, *, revision: int, refused: str = "") -> None:
        """From now on this is wanted; None: it is to go."""
        self.wanted, self.refused = service, refused
        if service is not None:
            self.after, self._program, self._wanted_version = service.after, service.program, service.version
        self.status = msgspec.structs.replace(self.status, revision=revision)
        self.poke()

    def restart(self) -> None:
        """Stop it, if it runs, and start it anew."""
        self._again = True
        self.poke()

    def poke(self) -> None:
        """Something is different: look again."""
        self._news.set()

    async def close(self) -> None:
        """The agent ends; the service does not."""
        for task in (self._task, self._watching):
            if task is not None:
                task.cancel()
        if self._alive is not None:
            self._alive.cancel()
        await asyncio.gather(*(task for task in (self._task, self._watching) if task), return_exceptions=True)

    # ── its task ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _keep(self) -> None:
        while True:
            try:
                await self._run()
            except Exception as error:
                log.exception("the service '%s' is not looked after for a while, by a fault of ours", self.name)
                self._set(Read(ServiceState.FAILED, f"A fault of the agent: {type(error).__name__}: {error}."))
                await asyncio.sleep(FAULT_S)
            else:
                self._house.gone(self)
                return

    async def _run(self) -> None:
        """Until it is gone."""
        if self._kept is None and self._over is None:
            await self._take_up()
        while True:
            self._news.clear()
            if self._kept is not None and self._kept.state.phase is Phase.DONE:
                await self._end()
            if self._must_stop():
                if self._house.may_go(self):
                    await self._stop()
                    continue
            elif self.wanted is None or self.refused:
                if self.wanted is None:
                    await self._house.memory.forget(self.name)
                    if self.wanted is None:
                        return
                    continue
            elif self._kept is None and (self._over is None or self._is_new):
                await self._try_to_start(self.wanted)
            self._watch()
            self._look()
            await self._news.wait()

    async def _take_up(self) -> None:
        """What an earlier life of the agent left: a process that runs, or one that is over for good."""
        memory = self._house.memory.get(self.name)
        self._wait = "What runs already is not known yet: the keeper of processes has not answered."
        self._look()
        found = await self._house.processes.has(self.id)
        self._wait = ""
        service = self.wanted
        if found:
            self._told = memory or Told(program=self._program)
            self._kept = self._house.processes.keep(self._process(service), changed=self.poke)
        elif memory is not None and service is not None and memory.program == self._program:
            self._told, self._over = memory, memory.over

    def _must_stop(self) -> bool:
        if self._kept is None:
            return False
        return self.wanted is None or bool(self.refused) or self._is_new

    @property
    def _is_new(self) -> bool:
        """Whether another process is wanted than the one that is or was."""
        return self._again or self._program != self._told.program

    async def _try_to_start(self, service: Service) -> None:
        self._wait = self._house.waits_for(self)
        if not self._wait:
            told = Told(program=self._program, version=self._wanted_version)
            await self._house.memory.put(self.name, told)
            if self.wanted is not service:  # another is wanted meanwhile
                self.poke()
                return
            self._told, self._runs, self._began, self._health = told, 0, 0.0, Health()
            self._kept = self._house.processes.keep(self._process(service), changed=self.poke)
        self.turn += self._again
        self._over, self._again = None, False

    async def _stop(self) -> None:
        """TERM, its grace, KILL; and nothing is left."""
        assert self._kept is not None
        self._stopping = True
        self._look()
        self._kept.tell(Ending.KILLED)
        await self._kept.over()
        self._release()
        self._over, self._again, self._stopping = None, False, False
        self._told = Told(program="")
        self.turn += 1

    async def _end(self) -> None:
        """It is not started again."""
        assert self._kept is not None
        ended = await self._kept.over()
        self._over = Over(state=ended.state, code=ended.code, reason=ended.reason or self._kept.problem)
        await self._house.memory.put(self.name, msgspec.structs.replace(self._told, over=self._over))
        self._release()

    def _release(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = self._watched = None
        self._house.processes.release(self.id)
        self._kept = None

    def _process(self, service: Service | None) -> Process:
        """What is to be kept; of one that is only to be ended, its name is enough."""
        if service is None:
            service = Service(name=self.name, command=("true",), max_time=0, max_restart=0)
        return Process(
            id=self.id, argv=self._house.templates.fill_all(service.command), settings=service, cmd="service"
        )

    # ── its state ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _look(self) -> None:
        """Read the state, and say so when it is another."""
        kept = self._kept
        if kept is not None and kept.pid is not None and kept.began != self._began:
            self._runs, self._began = self._runs + 1, kept.began
            self._begun.set()
        self._set(
            self._read(),
            pid=kept.pid if kept else None,
            restarts=max(0, self._runs - 1),
            code=kept.code if kept else self._over.code if self._over else None,
            health=self._health.found if kept and self._health.run == kept.began else "",
            version=self._version(),
        )
        self._look_when_alive()

    def _read(self) -> Read:
        if self._stopping:
            return Read(ServiceState.STOPPING)
        if self.refused and self._kept is None:
            return Read(ServiceState.FAILED, self.refused)
        if self._over is not None:
            return read_over(self._over)
        if self._kept is None:
            return Read(ServiceState.WAITING, self._wait)
        if self.wanted is None:
            return Read(ServiceState.STOPPING, "It goes when those that come after it are gone.")
        return read_kept(self.wanted, self._kept, self._health, now=self._loop.time(), began_before=self._runs > 0)

    def _version(self) -> str:
        """What runs: a change that does not touch the process is in force at once."""
        same = self.wanted is not None and self._program == self._told.program
        return self._wanted_version if same else self._told.version

    def _set(self, read: Read, **more: object) -> None:
        before = self.status
        if read.state is not before.state:
            more |= {"state": SERVICE_TRANSITIONS.check(before.state, read.state), "since": time.time()}
        self.status = msgspec.structs.replace(before, reason=read.reason, **more)
        if self.status != before:
            self._house.changed(self)

    def _look_when_alive(self) -> None:
        """One without a check is there when it has lived for a while: look then."""
        if self._alive is not None:
            self._alive.cancel()
            self._alive = None
        if self.status.state is ServiceState.STARTING and self._kept is not None and self.wanted is not None:
            if self._kept.pid is None or self.wanted.health is not None or self.wanted.max_time != FOREVER:
                return
            self._alive = self._loop.call_at(self._kept.state.began + ALIVE_S + 0.01, self.poke)

    # ── its health ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _watch(self) -> None:
        """Have it checked as is wanted now."""
        check = self.wanted.health if self.wanted is not None and self._kept is not None else None
        if check == self._watched and (self._watching is None or not self._watching.done()):
            return
        if self._watching is not None:
            self._watching.cancel()
        self._watched, self._watching, self._health = check, None, Health()
        if check is not None and self.wanted is not None and self._kept is not None:
            self._watching = asyncio.create_task(self._check(self.wanted, check, self._kept))

    async def _check(self, service: Service, check: HealthCheck, kept: Kept) -> None:
        """For ever: look, and end the process when it is not well. A run that is over takes its failures along."""
        run, failures = 0.0, 0
        while True:
            self._begun.clear()
            if not _runs(kept):
                await self._begun.wait()
                continue
            if kept.began != run:
                run, failures = kept.began, 0
                self._health = Health(run)
            found = await self._look_at(service, check)
            if kept.began != run or not _runs(kept):
                continue
            failures = self._found(found, failures, check, kept)
            eager = self._health.well is None and self._starts(check, kept)
            with suppress(TimeoutError):  # a new run is looked at when it begins
                async with asyncio.timeout(min(EAGER_S, check.interval) if eager else check.interval):
                    await self._begun.wait()

    def _starts(self, check: HealthCheck, kept: Kept) -> bool:
        return self._loop.time() - kept.state.began < check.start_period

    async def _look_at(self, service: Service, check: HealthCheck) -> str:
        try:
            return await self._house.checks.look(service, check)
        except Exception as error:
            log.exception("the service '%s' could not be checked", self.name)
            return f"it could not be checked: {type(error).__name__}: {error}"

    def _found(self, found: str, failures: int, check: HealthCheck, kept: Kept) -> int:
        """A check found this; how many in a row were failures now."""
        before = self._health
        starts = before.well is None and self._starts(check, kept)
        failures = failures + 1 if found and not starts else 0
        if not found:
            self._health = Health(kept.began, well=True)
        elif failures < check.failures:
            self._health = Health(kept.began, well=before.well, found=found)
        else:
            self._health = Health(kept.began, well=False, found=found)
            log.warning("the service '%s' is not well: %s", self.name, found)
            kept.tell(Ending.UNHEALTHY)
        if self._health != before:
            self.poke()
        return failures


def _runs(kept: Kept) -> bool:
    return kept.pid is not None and kept.state.phase is Phase.RUNNING
