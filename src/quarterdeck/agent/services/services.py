"""The set of this node's services: compares what is wanted with what is there, and says who waits for whom.

A service starts when those it comes after are there, and goes when those that come after it and are to go are gone.
`apply` never waits for any of it; what becomes of each is in the statuses.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from quarterdeck.agent.commands.command import Command, Outcome, answer, arguments
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.services.health import Checks
from quarterdeck.agent.services.memory import Memory
from quarterdeck.agent.services.seat import Seat
from quarterdeck.link.messages import ServiceReport
from quarterdeck.model.desired import DesiredSet
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
    """Of `restart_service`."""

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
        self.memory = Memory(home / "services.msgpack")
        self.checks = Checks(processes, templates)
        self._allowed = any(fnmatch.fnmatchcase(ALLOWED_AS, pattern) for pattern in allow)
        self._changed = changed
        self._seats: dict[str, Seat] = {}
        self._revision = 0
        self._news = asyncio.Condition()
        self._telling: asyncio.Task[None] | None = None
        self._cleared = False

    def apply(self, desired: DesiredSet) -> None:
        """From now on these are wanted."""
        self._revision = desired.revision
        wanted = {each.name: each for each in desired.services}
        if not self._cleared:  # what an earlier life left, and nobody wants any more
            self._cleared = True
            self.processes.disown_all_but({f"service/{name}" for name in wanted}, services=True)
        for name, seat in self._seats.items():
            if name not in wanted:
                seat.want(None, revision=desired.revision)
        for name, each in wanted.items():
            service, refused = self._read(each)
            if name not in self._seats:
                self._seats[name] = Seat(name, revision=desired.revision, house=self)
            self._seats[name].want(service, revision=desired.revision, refused=refused)
        self._tell()

    def report(self) -> ServiceReport:
        """Every service as it is now."""
        return ServiceReport(revision=self._revision, statuses=tuple(seat.status for seat in self._seats.values()))

    async def restart(self, name: str) -> ServiceStatus:
        """Stop a service and start it anew; what came of that, once it is no more on its way. `NotFound`."""
        seat = self._seats.get(name)
        if seat is None or seat.wanted is None:
            raise NotFound(f"There is no service '{name}' on this node.")
        if seat.refused:
            raise Conflict(seat.refused)
        turn = seat.turn
        seat.restart()
        async with self._news:
            await self._news.wait_for(
                lambda: self._seats.get(name) is not seat or (seat.turn > turn and seat.status.state not in _ON_ITS_WAY)
            )
        if self._seats.get(name) is not seat:
            raise NotFound(f"The service '{name}' was taken from this node meanwhile.")
        return seat.status

    def commands(self) -> dict[str, Command]:
        """The commands of a node that are about services."""

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
        """The agent ends; the services do not."""
        await asyncio.gather(*(seat.close() for seat in self._seats.values()))
        await self.checks.close()
        if self._telling is not None:
            self._telling.cancel()

    # ── what seats ask (House) ───────────────────────────────────────────────────────────────────────────────────────
    def waits_for(self, seat: Seat) -> str:
        """Why it may not start yet: the first of those it comes after that is not there."""
        for name in seat.after:
            other = self._seats.get(name)
            if other is not None and other is not seat and other.wanted is not None and not other.there:
                return f"It comes after '{name}', which is {other.status.state}."
        return ""

    def may_go(self, seat: Seat) -> bool:
        """Whether nothing that is to go too comes after it; what is only replaced goes at once."""
        if seat.wanted is not None:
            return True
        return not any(
            other.wanted is None and seat.name in other.after and other.occupied
            for other in self._seats.values()
            if other is not seat
        )

    def changed(self, seat: Seat) -> None:
        """Its state is another: those before and after it look again."""
        self._poke_around(seat)
        self._tell()

    def gone(self, seat: Seat) -> None:
        """It was to go, and did."""
        if self._seats.get(seat.name) is seat:
            del self._seats[seat.name]
        self._poke_around(seat)
        self._tell()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _read(self, each: DesiredService) -> tuple[Service, str]:
        """The service, and why it may not run here."""
        try:
            service = each.read()
        except QuarterdeckError as error:
            return Service(name=_named(each.name), command=("true",)), str(error)
        return service, "" if self._allowed else _REFUSED

    def _poke_around(self, seat: Seat) -> None:
        for other in self._seats.values():
            if seat.name in other.after or other.name in seat.after:
                other.poke()

    def _tell(self) -> None:
        self._changed()
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


def _named(name: str) -> str:
    """A name that a service may have."""
    try:
        return Service(name=name, command=("true",)).name
    except BadInput:
        return "unknown"
