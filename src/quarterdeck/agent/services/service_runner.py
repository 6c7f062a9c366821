"""One service on this node: its target, its process, and the task that makes the process match the target.

The set (`ServiceSet`) decides its order among other services, the rules of the process manager its restarts, the
monitor its health; its state is read by `service_state.py`. When the agent ends, the process continues, and the next
agent claims it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

import msgspec

from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.agent.services.health_checks import HealthChecks
from quarterdeck.agent.services.health_monitor import HealthMonitor
from quarterdeck.agent.services.launch_records import FinalOutcome, LaunchRecord, LaunchRecords
from quarterdeck.agent.services.service_state import StateReading, has_come_up, read_outcome, read_process
from quarterdeck.kit.tasks import keep
from quarterdeck.model.processes import Phase
from quarterdeck.model.services import SERVICE_TRANSITIONS, Service, ServiceState, ServiceStatus

log = logging.getLogger(__name__)

#: after an internal error, until the service is looked after again
RETRY_S = 5.0


class ServiceSet(Protocol):
    """The parts that the runners of a node share, and the order of their services."""

    processes: Processes
    records: LaunchRecords
    checks: HealthChecks
    templates: Templates

    def waits_for(self, runner: ServiceRunner) -> str:
        """Return in words why the service may not start yet; nothing when it may."""
        ...

    def may_stop(self, runner: ServiceRunner) -> bool:
        """Return whether no service that is to go too comes after this one."""
        ...

    def changed(self, runner: ServiceRunner) -> None:
        """Note that the status of a service has changed."""
        ...

    def gone(self, runner: ServiceRunner) -> None:
        """Note that a service that was to go has gone."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The wanted form of a service."""

    service: Service | None = None  #: None: it is to go
    refused: str = ""  #: in words, why it may not run here
    after: tuple[str, ...] = ()  #: the services that it comes after; kept when it is to go
    program: str = ""  #: `Service.program`; kept when it is to go
    version: str = ""

    def replaced(self, service: Service | None, *, refused: str) -> Target:
        """Return the next target."""
        if service is None:
            return Target(None, refused, self.after, self.program, self.version)
        return Target(service, refused, service.after, service.program, service.version)


class ServiceRunner:
    """Runs one service of the set `services`."""

    def __init__(self, name: str, *, revision: int, services: ServiceSet) -> None:
        self.name = name
        self.target = Target()
        self.turn = 0  #: grows each time it is started anew
        self.status = ServiceStatus(name=name, state=ServiceState.WAITING, revision=revision, since=time.time())
        self._services = services
        self._process: SupervisedProcess | None = None
        self._record = LaunchRecord(program="")  # of its process, or of the one that is over
        self._restart_wanted = False
        self._stopping = False
        self._wait = ""  # in words, what it waits for
        self._monitor = HealthMonitor(name, services.checks, changed=self.wake)
        self._news = asyncio.Event()
        self._task = asyncio.create_task(keep(f"service {name}", self._keep, once=True))

    @property
    def id(self) -> str:
        """Return the id of its process."""
        return f"service/{self.name}"

    @property
    def has_come_up(self) -> bool:
        """Return whether services that come after it may start."""
        service = self.target.service
        return service is not None and has_come_up(
            service, self.status.state, outcome=self._record.outcome, process=self._process
        )

    @property
    def has_process(self) -> bool:
        """Return whether it has a process, or may have one."""
        return self._process is not None

    def want(self, service: Service | None, *, revision: int, refused: str = "") -> None:
        """Set what is wanted; None: it is to go."""
        self.target = self.target.replaced(service, refused=refused)
        self.status = msgspec.structs.replace(self.status, revision=revision)
        self.wake()

    def restart(self) -> None:
        """Stop it, if it runs, and start it anew."""
        self._restart_wanted = True
        self.wake()

    def wake(self) -> None:
        """Look again, because something has changed."""
        self._news.set()

    async def close(self) -> None:
        """End with the agent; the service goes on."""
        self._task.cancel()
        await self._monitor.close()
        await asyncio.gather(self._task, return_exceptions=True)

    # ── its task ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _keep(self) -> None:
        while True:
            try:
                await self._run()
            except Exception as error:
                log.exception("internal error: the service '%s' is not looked after for %g s", self.name, RETRY_S)
                self._report(StateReading(ServiceState.FAILED, f"Internal error: {type(error).__name__}: {error}."))
                await asyncio.sleep(RETRY_S)
            else:
                self._services.gone(self)
                return

    async def _run(self) -> None:
        """Bring the process to what is wanted, until the service is gone."""
        if self._process is None and self._record.outcome is None:
            await self._claim()
        while True:
            self._news.clear()
            if self._process is not None and self._process.state.phase is Phase.DONE:
                await self._end()
            if self._must_stop():
                if self._services.may_stop(self):
                    await self._stop()
                    continue
            elif self.target.service is None:
                await self._services.records.forget(self.name)
                if self.target.service is None:
                    return
                continue
            elif not self.target.refused and self._process is None and (not self._record.outcome or self._is_new):
                await self._try_to_start(self.target.service)
            self._monitor.watch(self.target.service, self._process)
            self._look()
            await self._news.wait()

    async def _claim(self) -> None:
        """Claim what an earlier agent left: a process that runs, or the record of one that is over for good."""
        record = self._services.records.get(self.name)
        self._wait = "What runs already is not known yet: the keeper of processes has not answered."
        self._look()
        found = await self._services.processes.has(self.id)
        self._wait = ""
        service = self.target.service
        if found:
            record = record or LaunchRecord(program=self.target.program)
            self._record = msgspec.structs.replace(record, outcome=None)
            self._process = self._services.processes.keep(self._program(service), changed=self.wake)
        elif record is not None and service is not None and record.program == self.target.program:
            self._record = record

    def _must_stop(self) -> bool:
        if self._process is None:
            return False
        return self.target.service is None or bool(self.target.refused) or self._is_new

    @property
    def _is_new(self) -> bool:
        """Return whether another process is wanted than the one that is or was."""
        return self._restart_wanted or self.target.program != self._record.program

    async def _try_to_start(self, service: Service) -> None:
        self._wait = self._services.waits_for(self)
        if not self._wait:
            record = LaunchRecord(program=self.target.program, version=self.target.version)
            await self._services.records.put(self.name, record)
            if self.target.service is not service:  # another is wanted meanwhile
                self.wake()
                return
            self._record = record
            self._monitor.forget()
            self._process = self._services.processes.keep(self._program(service), changed=self.wake)
        self.turn += self._restart_wanted
        self._record = msgspec.structs.replace(self._record, outcome=None)
        self._restart_wanted = False

    async def _stop(self) -> None:
        """End the process: TERM, its grace period, KILL."""
        assert self._process is not None
        self._stopping = True
        self._look()
        self._process.tell(Ending.KILLED)
        await self._process.over()
        self._release()
        self._restart_wanted = self._stopping = False
        self._record = LaunchRecord(program="")
        self.turn += 1

    async def _end(self) -> None:
        """Record the end of a process that is not started again."""
        assert self._process is not None
        result = await self._process.over()
        outcome = FinalOutcome(state=result.state, code=result.code, reason=result.reason or self._process.problem)
        self._record = msgspec.structs.replace(self._record, outcome=outcome)
        await self._services.records.put(self.name, self._record)
        self._release()

    def _release(self) -> None:
        self._monitor.forget()
        self._services.processes.release(self.id)
        self._process = None

    def _program(self, service: Service | None) -> Process:
        """Return the process to keep; of one that is only to be ended, the name is enough."""
        if service is None:
            service = Service(name=self.name, command=("true",), max_time=0, max_restart=0)
        templates = self._services.templates
        settings = templates.service_settings(service)
        return Process(
            id=self.id,
            argv=templates.service_argv(service.command),
            settings=settings,
            ends_for_good=False,
            cmd="service",
        )

    # ── its state ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _look(self) -> None:
        """Read the state, and report it when it has changed."""
        process, outcome, health = self._process, self._record.outcome, self._monitor.health
        self._report(
            self._read(),
            pid=process.pid if process else None,
            restarts=max(0, process.runs - 1) if process else self.status.restarts,
            code=process.code if process else outcome.code if outcome else None,
            ended=process.reason if process else "",
            health=health.found if process and health.run == process.began else "",
            version=self._version(),
        )

    def _read(self) -> StateReading:
        if self._stopping:
            return StateReading(ServiceState.STOPPING)
        if self.target.refused and self._process is None:
            return StateReading(ServiceState.FAILED, self.target.refused)
        if self._process is None:
            outcome = self._record.outcome
            return read_outcome(outcome) if outcome else StateReading(ServiceState.WAITING, self._wait)
        if self.target.service is None:
            return StateReading(ServiceState.STOPPING, "It goes when those that come after it are gone.")
        now = asyncio.get_running_loop().time()
        return read_process(self.target.service, self._process, self._monitor.health, now=now)

    def _version(self) -> str:
        """Return the version that runs: a change that does not touch the process is in force at once."""
        same = self.target.service is not None and self.target.program == self._record.program
        return self.target.version if same else self._record.version

    def _report(self, reading: StateReading, **more: object) -> None:
        before = self.status
        if reading.state is not before.state:
            more |= {"state": SERVICE_TRANSITIONS.check(before.state, reading.state), "since": time.time()}
        self.status = msgspec.structs.replace(before, reason=reading.reason, **more)
        if self.status != before:
            self._services.changed(self)
