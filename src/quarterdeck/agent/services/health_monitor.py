"""The health of one service's process: that of its health check, or whether the process has run for long enough.

It owns the task that checks, and the results of the checks. A process that is not well is ended, as a failed run. The
rules of the process manager then decide whether it is started again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from quarterdeck.agent.processes.supervised_process import SupervisedProcess
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.agent.services.service_state import Health
from quarterdeck.kit.tasks import cancel, keep
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import FOREVER, Phase
from quarterdeck.model.services import ALIVE_S, HealthCheck, Service

log = logging.getLogger(__name__)

#: between checks in the start period until a service is well, where its interval is longer
EAGER_S = 0.5


class Checks(Protocol):
    """Runs single checks."""

    async def look(self, service: Service, check: HealthCheck) -> str:
        """Return what is wrong with the service, in words; nothing when it is well."""
        ...


class HealthMonitor:
    """Monitors the process of one service. `changed` is called when its health may have changed."""

    def __init__(self, name: str, checks: Checks, *, changed: Callable[[], None]) -> None:
        self.health = Health()
        self._name = name
        self._checks = checks
        self._changed = changed
        self._check: HealthCheck | None = None
        self._checking: asyncio.Task[None] | None = None
        self._run = 0.0  # when the run seen last began
        self._run_began = asyncio.Event()
        self._alive: asyncio.TimerHandle | None = None

    def watch(self, service: Service | None, process: SupervisedProcess | None) -> None:
        """Check this process as the service says now. Without one of both, nothing is checked."""
        check = service.health if service is not None and process is not None else None
        if check != self._check or (self._checking is not None and self._checking.done()):
            self._stop_checking()
            self._check, self.health = check, Health()
            if check is not None and service is not None and process is not None:
                checking = partial(self._keep_checking, service, check, process)
                self._checking = asyncio.create_task(keep(f"the check of {self._name}", checking))
        if process is not None and process.pid is not None and process.began != self._run:
            self._run = process.began
            self._run_began.set()
        self._look_when_alive(service, process)

    def forget(self) -> None:
        """Stop checking: the process is gone."""
        self._stop_checking()
        self._run, self.health = 0.0, Health()

    async def close(self) -> None:
        """Stop checking, and wait until the check has ended."""
        checking, self._checking = self._checking, None
        self._stop_checking()
        if checking is not None:
            await cancel(checking)

    def _stop_checking(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        if self._alive is not None:
            self._alive.cancel()
        self._checking = self._check = self._alive = None

    def _look_when_alive(self, service: Service | None, process: SupervisedProcess | None) -> None:
        """Call `changed` when a process without a check has lived for long enough to count as running."""
        if self._alive is not None:
            self._alive.cancel()
            self._alive = None
        if service is None or service.health is not None or service.max_time != FOREVER:
            return
        if process is not None and _runs(process):
            loop = asyncio.get_running_loop()
            due = process.state.began + ALIVE_S + 0.01
            if due > loop.time():
                self._alive = loop.call_at(due, self._changed)

    async def _keep_checking(self, service: Service, check: HealthCheck, process: SupervisedProcess) -> None:
        """Check for ever, and end the process when it is not well. Failures are counted anew for each run."""
        run, failures = 0.0, 0
        while True:
            self._run_began.clear()
            if not _runs(process):
                await self._run_began.wait()
                continue
            if process.began != run:
                run, failures = process.began, 0
                self.health = Health(run)
            found = await self._look(service, check)
            if process.began != run or not _runs(process):
                continue
            failures = self._found(found, failures, check, process)
            eager = self.health.well is None and _starts(check, process)
            with suppress(TimeoutError):  # a new run is checked when it begins
                async with asyncio.timeout(min(EAGER_S, check.interval) if eager else check.interval):
                    await self._run_began.wait()

    async def _look(self, service: Service, check: HealthCheck) -> str:
        try:
            return await self._checks.look(service, check)
        except Exception as error:
            log.exception("the service '%s' could not be checked", self._name)
            return f"it could not be checked: {type(error).__name__}: {error}"

    def _found(self, found: str, failures: int, check: HealthCheck, process: SupervisedProcess) -> int:
        """Record what a check found; return how many checks in a row have failed now."""
        before = self.health
        starts = before.well is None and _starts(check, process)
        failures = failures + 1 if found and not starts else 0
        if not found:
            self.health = Health(process.began, well=True)
        elif failures < check.failures:
            self.health = Health(process.began, well=before.well, found=found)
            if failures == 1:
                process.note(Level.WARNING, f"Its health check fails: {found}")
        else:
            self.health = Health(process.began, well=False, found=found)
            log.warning("the service '%s' is not well: %s", self._name, found)
            process.note(Level.OPS_ERROR, f"It is not well, and is ended: {found}")
            process.tell(Ending.UNHEALTHY, why=f"not well: {found}")
        if self.health != before:
            self._changed()
        return failures


def _starts(check: HealthCheck, process: SupervisedProcess) -> bool:
    return asyncio.get_running_loop().time() - process.state.began < check.start_period


def _runs(process: SupervisedProcess) -> bool:
    return process.pid is not None and process.state.phase is Phase.RUNNING
