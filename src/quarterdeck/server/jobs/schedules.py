"""Schedules: asks for each command when its time has come, once for each due time.

Owns when a schedule is due. The id of a command is made of the schedule's name and the due time, and it is asked for
before the schedule moves on: after a kill in between the same id is asked for again, and refused as used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from quarterdeck.model.errors import AlreadyExists, BadInput, NotFound, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand
from quarterdeck.model.schedules import NAME_LIMIT, CreateSchedule, MissedRuns, Schedule
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.jobs import cron
from quarterdeck.server.scripts import keep, take_script
from quarterdeck.store.state import schedules as rows
from quarterdeck.store.state import scripts
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schedules import StoredSchedule

log = logging.getLogger(__name__)

ScheduleList = list[Schedule]
#: a run this late was missed; before, it is only late
LATE_S = 60.0
#: how often it is looked whether one is due: the clock may jump, another server may change schedules
LOOK_S = 1.0
#: the longest period, ten years
PERIOD_LIMIT_S = 10 * 366 * 86400


class Asks(Protocol):
    """What asks nodes for a command: `Commands.create`."""

    async def create(self, request: CreateCommand, actor: ApiToken) -> CommandWithJobs:
        """The command; `AlreadyExists` when its id was used."""
        ...


class Schedules:
    """Asks for commands at their times."""

    def __init__(self, database: Database, *, commands: Asks, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._commands = commands
        self._clock = clock

    # ── what people ask ──────────────────────────────────────────────────────────────────────────────────────────────
    async def create(self, request: CreateSchedule, actor: ApiToken) -> Schedule:
        """A new schedule. `AlreadyExists` (the name), `BadInput` (when, what or its name), `NotFound` (its script)."""
        _check(request)
        now = self._clock()
        command, script = take_script(request.command)
        fields = msgspec.structs.asdict(msgspec.structs.replace(request, command=command))
        named = script.sha256 if script else None
        new = StoredSchedule(**fields, actor=actor.name, role=actor.role, create_time=now, script=named)
        due = _next(new, now)
        new = msgspec.structs.replace(new, next_time=due if new.enabled else None)
        async with self._database.write() as transaction:
            if await rows.find(transaction, new.name) is not None:
                raise AlreadyExists(f"There is already a schedule '{new.name}'.")
            if script is not None:
                await keep(transaction, script)
            await rows.add(transaction, new)
        return rows.shown(new)

    async def list(self) -> ScheduleList:
        """All schedules by name."""
        async with self._database.read() as transaction:
            return [rows.shown(stored) for stored in await rows.find_all(transaction)]

    async def enable(self, name: str, *, enabled: bool) -> Schedule:
        """Enables or disables a schedule; enabled, it is due next after now. `NotFound`."""
        async with self._database.write() as transaction:
            found = await rows.find(transaction, name) if _is_name(name) else None
            if found is None:
                raise _unknown(name)
            if found.enabled != enabled:
                due = _next(found, self._clock()) if enabled else None
                await rows.save(transaction, found, enabled=enabled, next_time=due)
                found = msgspec.structs.replace(found, enabled=enabled, next_time=due)
        return rows.shown(found)

    async def delete(self, name: str) -> None:
        """Forgets a schedule; what it asked for goes on. `NotFound`."""
        async with self._database.write() as transaction:
            if not (_is_name(name) and await rows.remove(transaction, name)):
                raise _unknown(name)
            await scripts.prune(transaction)

    # ── what time does ───────────────────────────────────────────────────────────────────────────────────────────────
    async def watch(self) -> None:
        """Runs for ever: asks for what is due."""
        while True:
            wait_s = LOOK_S
            try:
                wait_s = await self.run_due()
            except Unavailable as error:
                log.warning("what is due cannot be asked for now: %s", error)
            except Exception:
                log.exception("what is due cannot be asked for; it is tried again")
            await asyncio.sleep(wait_s)

    async def run_due(self) -> float:
        """Asks for everything that is due now, and says in how many seconds to look again.

        A fault in one schedule leaves it due, to be tried again, and holds up no other. `Unavailable`: none can be run.
        """
        async with self._database.read() as transaction:
            due = await rows.find_due(transaction, self._clock())
        faults = 0
        for stored in due:
            try:
                await self._run(stored)
            except Unavailable:
                raise
            except Exception:
                faults += 1
                log.exception("the schedule '%s' cannot be run; it is tried again", stored.name)
        async with self._database.read() as transaction:
            upcoming = await rows.find_next(transaction)
        if faults or upcoming is None:  # one that stays due is not tried again at once
            return LOOK_S
        return min(LOOK_S, max(0.0, upcoming - self._clock()))

    async def _run(self, stored: StoredSchedule) -> None:
        due, now = stored.next_time, self._clock()
        if due is None:
            return
        if now - due > LATE_S and stored.missed is MissedRuns.SKIP:
            changes = {"reason": f"No server was there at {_text(due)}: that run was left out."}
        else:
            changes = await self._ask(stored, due)
        following = _next(stored, max(due, now))
        async with self._database.write() as transaction:
            await rows.save(transaction, stored, next_time=following, **changes)

    async def _ask(self, stored: StoredSchedule, due: float) -> dict[str, object]:
        """Asks for the command of a due time, and says what changes in the schedule. `Unavailable`: later again."""
        command_id = f"{stored.name}@{_text(due)}"
        request = msgspec.structs.replace(stored.command, id=command_id)
        try:
            await self._commands.create(request, ApiToken(id="", name=stored.actor, role=stored.role))
        except AlreadyExists:
            log.info("'%s' was asked for before", command_id)
        except Unavailable:
            raise
        except QuarterdeckError as error:
            log.warning("the schedule '%s' asked for nothing at %s: %s", stored.name, _text(due), error)
            return {"reason": f"{_text(due)}: {error}"}
        return {"last_time": due, "last_command": command_id, "reason": ""}


def _next(schedule: Schedule, after: float) -> float:
    """The first due time after `after`."""
    if schedule.cron:
        return cron.parse(schedule.cron, schedule.timezone).next_after(after)
    start = int(schedule.create_time)
    return float(start + (int(after - start) // schedule.period_s + 1) * schedule.period_s)


def _check(request: CreateSchedule) -> None:
    if not _is_name(request.name):
        raise BadInput(
            f"A schedule's name is 1 to {NAME_LIMIT} letters, digits, '-', '_' and '.'; found '{request.name[:100]}'."
        )
    if bool(request.cron) == bool(request.period_s):
        raise BadInput("A schedule has either a cron line or a period.", hint="Give one of the two.")
    if request.cron:
        cron.parse(request.cron, request.timezone)
    elif request.timezone != "UTC":
        raise BadInput(
            f"A period knows no timezone; found '{request.timezone}'.", hint="Give a cron line, or no timezone."
        )
    elif not 1 <= request.period_s <= PERIOD_LIMIT_S:
        raise BadInput(f"A period is 1 to {PERIOD_LIMIT_S} s; found {request.period_s}.")
    if request.command.id:
        raise BadInput("A scheduled command has no id of its own.", hint="Its id is the schedule's name and the time.")


def _is_name(text: str) -> bool:
    plain = text.replace("-", "").replace("_", "").replace(".", "")
    return len(text) <= NAME_LIMIT and plain.isascii() and plain.isalnum()


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no schedule '{name[:100]}'.", hint="See `qd job schedule ls`.")
