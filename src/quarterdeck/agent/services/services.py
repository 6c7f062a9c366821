"""The set of this node's services: compares the wanted services with the running ones, and decides their order.

A service starts when the services in its `after` are ready. A service that is to go ends when those that name it in
their `after`, and are to go too, have ended. `apply` never waits for any of this; the statuses tell the results.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from quarterdeck.agent.commands.command import Command, Outcome, answer, arguments
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.unclaimed import all_but
from quarterdeck.agent.services.health_checks import HealthChecks
from quarterdeck.agent.services.launch_records import LaunchRecords
from quarterdeck.agent.services.service_runner import ServiceRunner
from quarterdeck.kit.patterns import matches_any
from quarterdeck.model.errors import BadInput, Conflict, NotFound, QuarterdeckError
from quarterdeck.model.jobs import JobOffer, JobState
from quarterdeck.model.services import DesiredService, Service, ServiceState, ServiceStatus
from quarterdeck.model.struct import Struct

log = logging.getLogger(__name__)

#: what the node's allow-list calls services
ALLOWED_AS = "service"
_REFUSED = f"This node's configuration (agent.jobs.allow) has no {ALLOWED_AS}: no service runs here."
_ON_ITS_WAY = frozenset({ServiceState.STARTING, ServiceState.STOPPING})


class RestartArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `restart_service`."""

    name: str


class Services:
    """All services of one agent, whose folder is `home`. Made and used in its event loop."""

    def __init__(
        self,
        home: Path,
        *,
        processes: Processes,
        templates: Templates,
        allow: Sequence[str],
        changed: Callable[[], None],
    ) -> None:
        self.processes = processes
        self.templates = templates
        self.records = LaunchRecords(home / "services.msgpack")
        self.checks = HealthChecks(processes, templates)
        self._allowed = matches_any(ALLOWED_AS, allow)
        self._changed = changed
        self._runners: dict[str, ServiceRunner] = {}
        self._news = asyncio.Condition()
        self._telling: asyncio.Task[None] | None = None
        self._cleared = False

    async def apply(self, wanted: Sequence[DesiredService], *, revision: int) -> None:
        """Set the services that are wanted."""
        named = {each.name: each for each in wanted}
        if not self._cleared:  # left by an earlier run of the agent, and not wanted any more
            self._cleared = True
            self.processes.judge_services(all_but({f"service/{name}" for name in named}))
        for name, runner in self._runners.items():
            if name not in named:
                runner.want(None, revision=revision)
        for name, each in named.items():
            service, refused = self._read(each)
            if name not in self._runners:
                self._runners[name] = ServiceRunner(name, revision=revision, services=self)
            self._runners[name].want(service, revision=revision, refused=refused)
        self._tell()

    def statuses(self) -> tuple[ServiceStatus, ...]:
        """Return the status of every service."""
        return tuple(runner.status for runner in self._runners.values())

    async def restart(self, name: str) -> ServiceStatus:
        """Stop a service and start it anew; return its status after that. Raise `NotFound` when there is none."""
        runner = self._runners.get(name)
        if runner is None or runner.target.service is None:
            raise NotFound(f"There is no service '{name}' on this node.")
        if runner.target.refused:
            raise Conflict(runner.target.refused)
        turn = runner.turn
        runner.restart()
        async with self._news:
            await self._news.wait_for(
                lambda: (
                    self._runners.get(name) is not runner
                    or (runner.turn > turn and runner.status.state not in _ON_ITS_WAY)
                )
            )
        if self._runners.get(name) is not runner:
            raise NotFound(f"The service '{name}' was taken from this node meanwhile.")
        return runner.status

    async def none_left(self) -> None:
        """Wait until every service has ended."""
        async with self._news:
            await self._news.wait_for(lambda: not self._runners)

    def commands(self) -> dict[str, Command]:
        """Return the commands of a node that are about services."""

        async def restart(job: JobOffer) -> Outcome:
            status = await self.restart(arguments(job, RestartArguments).name)
            told = answer(status)
            if status.state in (ServiceState.RUNNING, ServiceState.STOPPED):
                return told
            return Outcome(
                state=JobState.ERROR, data=told.data, level=told.level, reason=f"It is {status.state}: {status.reason}"
            )

        return {"restart_service": Command(run=restart)}

    async def close(self) -> None:
        """End with the agent; the services go on."""
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))
        await self.checks.close()
        if self._telling is not None:
            self._telling.cancel()

    # ── what runners ask (ServiceSet) ─────────────────────────────────────────────────────────────────────────────────
    def waits_for(self, runner: ServiceRunner) -> str:
        """Return why it may not start yet: the first service that it comes after and that has not come up."""
        for name in runner.target.after:
            other = self._runners.get(name)
            if other is not None and other is not runner and other.target.service is not None and not other.has_come_up:
                return f"It comes after '{name}', which is {other.status.state}."
        return ""

    def may_stop(self, runner: ServiceRunner) -> bool:
        """Return whether no service that is to go too comes after it; one that is only replaced stops at once."""
        if runner.target.service is not None:
            return True
        return not any(
            other.target.service is None and runner.name in other.target.after and other.has_process
            for other in self._runners.values()
            if other is not runner
        )

    def changed(self, runner: ServiceRunner) -> None:
        """Wake the runners before and after a service whose status has changed."""
        self._wake_around(runner)
        self._tell()

    def gone(self, runner: ServiceRunner) -> None:
        """Remove the runner of a service that was to go and has gone."""
        if self._runners.get(runner.name) is runner:
            del self._runners[runner.name]
        self._wake_around(runner)
        self._tell()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _read(self, each: DesiredService) -> tuple[Service, str]:
        """Return the service, and why it may not run here."""
        try:
            service = each.read()
        except QuarterdeckError as error:
            return Service(name=_named(each.name), command=("true",)), str(error)
        return service, "" if self._allowed else _REFUSED

    def _wake_around(self, runner: ServiceRunner) -> None:
        for other in self._runners.values():
            if runner.name in other.target.after or other.name in runner.target.after:
                other.wake()

    def _tell(self) -> None:
        self._changed()
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


def _named(name: str) -> str:
    """Return a name that a service may have."""
    try:
        return Service(name=name, command=("true",)).name
    except BadInput:
        return "unknown"
