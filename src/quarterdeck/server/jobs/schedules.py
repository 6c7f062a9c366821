"""Schedules: each issues its command once for each due time.

Owns when a schedule is due. The id of a command consists of the schedule's name and the due time, and the command is
created before the schedule advances: after a kill in between, the same id is created again, and refused as used. It
never sends a job to a node: `commands` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import AlreadyExists, BadInput, NotFound, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand
from quarterdeck.model.schedules import NAME_LIMIT, CreateSchedule, MissedRuns, Schedule
from quarterdeck.model.selection import no_such
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.jobs import cron
from quarterdeck.server.scripts import keep, take_script
from quarterdeck.server.selection import check_names, without_gone
from quarterdeck.store.state import jobs, nodes, scripts
from quarterdeck.store.state import schedules as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schedules import StoredSchedule

log = logging.getLogger(__name__)

ScheduleList = list[Schedule]
#: a run that is later than this counts as missed
LATE_S = 60.0
#: the longest interval between looks for due schedules: the clock may jump, another server may change schedules
LOOK_S = 1.0
#: the most missed runs of a cron line that are counted after one absence
COUNT_LIMIT = 1000
#: the longest period, ten years
PERIOD_LIMIT_S = 10 * 366 * 86400


class Asks(Protocol):
    """Creates commands: `Commands.create`."""

    async def create(self, request: CreateCommand, actor: ApiToken) -> CommandWithJobs:
        """Create a command; raise `AlreadyExists` when its id was used."""
        ...


class Schedules:
    """Issues commands at the times of their schedules."""

    def __init__(self, database: Database, *, commands: Asks, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._commands = commands
        self._clock = clock

    # ── requests of users ────────────────────────────────────────────────────────────────────────────────────────────
    async def create(self, request: CreateSchedule, actor: ApiToken) -> Schedule:
        """Create a schedule. Raise `AlreadyExists` (its name), `BadInput` (time, command or name), `NotFound` (its
        script).

        Raise `NoSuchNodes` when it names a node that does not exist; its labels need not match a node now.
        """
        _check(request)
        now = self._clock()
        command, script = take_script(request.command)
        fields = msgspec.structs.asdict(msgspec.structs.replace(request, command=command))
        named = script.sha256 if script else None
        new = StoredSchedule(**fields, actor=actor.name, role=actor.role, create_time=now, script=named)
        due = _next(new, now)
        new = msgspec.structs.replace(new, next_time=due if new.enabled else None)
        async with self._database.write() as transaction:
            check_names(await nodes.find_targets(transaction), command.selector)
            if await rows.find(transaction, new.name) is not None:
                raise AlreadyExists(f"There is already a schedule '{new.name}'.")
            if script is not None:
                await keep(transaction, script)
            await rows.add(transaction, new)
        return rows.to_schedule(new, {})

    async def list(self) -> ScheduleList:
        """Return all schedules, by name."""
        async with self._database.read() as transaction:
            return [await _with_states(transaction, stored) for stored in await rows.find_all(transaction)]

    async def show(self, name: str) -> Schedule:
        """Return one schedule; raise `NotFound`."""
        async with self._database.read() as transaction:
            return await _with_states(transaction, await _find(transaction, name))

    async def enable(self, name: str, *, enabled: bool) -> Schedule:
        """Enable or disable a schedule; one that is enabled is next due after now. Raise `NotFound`."""
        async with self._database.write() as transaction:
            found = await _find(transaction, name)
            if found.enabled != enabled:
                due = _next(found, self._clock()) if enabled else None
                await rows.save(transaction, found, enabled=enabled, next_time=due)
                found = msgspec.structs.replace(found, enabled=enabled, next_time=due)
            return await _with_states(transaction, found)

    async def delete(self, name: str) -> None:
        """Delete a schedule; commands that it has issued continue. Raise `NotFound`."""
        async with self._database.write() as transaction:
            if not (_is_name(name) and await rows.remove(transaction, name)):
                raise _unknown(name)
            await scripts.prune(transaction)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def watch(self) -> None:
        """Run until cancelled: issue the commands of due schedules."""
        while True:
            wait_s = LOOK_S
            try:
                wait_s = await self.run_due()
            except Unavailable as error:
                log.warning("due schedules cannot be run now: %s", error)
            except Exception:
                log.exception("running due schedules failed; it will be retried")
            await asyncio.sleep(wait_s)

    async def run_due(self) -> float:
        """Run every schedule that is due now; return in how many seconds to look again.

        A failed schedule stays due and is retried; the others run. Raise `Unavailable` when none can be run.
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
                log.exception("the schedule '%s' cannot be run; it will be retried", stored.name)
        async with self._database.read() as transaction:
            upcoming = await rows.find_next(transaction)
        if faults or upcoming is None:  # a schedule that stays due is not retried immediately
            return LOOK_S
        return min(LOOK_S, max(0.0, upcoming - self._clock()))

    async def _run(self, stored: StoredSchedule) -> None:
        due, now = stored.next_time, self._clock()
        if due is None:
            return
        passed = _count(stored, due, now)
        skips = now - due > LATE_S and stored.missed is MissedRuns.SKIP
        if skips and not await self._was_asked(stored, due):
            missed, changes = passed, {"reason": f"No server was running at {_text(due)}: {_left_out(passed)}."}
        else:
            changes = await self._ask(stored, due)
            missed = passed - 1 if "last_time" in changes else passed
        if missed:
            changes |= {"missed_runs": stored.missed_runs + missed, "missed_time": due if missed == 1 else now}
        following = _next(stored, max(due, now))
        async with self._database.write() as transaction:
            await rows.save(transaction, stored, next_time=following, **changes)

    async def _was_asked(self, stored: StoredSchedule, due: float) -> bool:
        """Return whether a server issued the command of this due time, and was killed before the schedule advanced."""
        async with self._database.read() as transaction:
            return bool(await jobs.find_ids(transaction, [_command_id(stored, due)]))

    async def _ask(self, stored: StoredSchedule, due: float) -> dict[str, object]:
        """Issue the command of a due time; return the changes of the schedule. Raise `Unavailable` to retry later."""
        command_id = _command_id(stored, due)
        async with self._database.read() as transaction:
            selector, gone = without_gone(await nodes.find_targets(transaction), stored.command.selector)
        request = msgspec.structs.replace(stored.command, id=command_id, selector=selector)
        try:
            await self._commands.create(request, ApiToken(id="", name=stored.actor, role=stored.role))
        except AlreadyExists:
            log.info("the command '%s' was issued before", command_id)
        except Unavailable:
            raise
        except QuarterdeckError as error:
            log.warning("the schedule '%s' issued no command at %s: %s", stored.name, _text(due), error)
            return {"reason": f"{_text(due)}: {error}"}
        left_out = f"{_text(due)}: {no_such(gone, ()).message} The others were asked." if gone else ""
        return {"last_time": due, "last_command": command_id, "reason": left_out}


def _command_id(schedule: Schedule, due: float) -> str:
    return f"{schedule.name}@{_text(due)}"


def _next(schedule: Schedule, after: float) -> float:
    """Return the first due time after `after`."""
    if schedule.cron:
        return cron.parse(schedule.cron, schedule.timezone).next_after(after)
    start = int(schedule.create_time)
    return float(start + (int(after - start) // schedule.period_s + 1) * schedule.period_s)


def _count(schedule: Schedule, due: float, now: float) -> int:
    """Return the number of due times from `due` to `now`, inclusive; for a cron line at most `COUNT_LIMIT`."""
    if schedule.period_s:
        return max(1, int(now - due) // schedule.period_s + 1)
    count, at = 1, due
    while count < COUNT_LIMIT and (at := _next(schedule, at)) <= now:
        count += 1
    return count


def _left_out(runs: int) -> str:
    return "that run was left out" if runs == 1 else f"{runs} runs were left out"


async def _find(transaction: AsyncConnection, name: str) -> StoredSchedule:
    found = await rows.find(transaction, name) if _is_name(name) else None
    if found is None:
        raise _unknown(name)
    return found


async def _with_states(transaction: AsyncConnection, stored: StoredSchedule) -> Schedule:
    return rows.to_schedule(stored, await rows.count_states(transaction, stored.name))


def _check(request: CreateSchedule) -> None:
    if not _is_name(request.name) or not request.name[0].isalnum():
        raise BadInput(
            f"A schedule's name is 1 to {NAME_LIMIT} letters, digits, '-', '_' and '.', the first a letter or digit; "
            f"found '{request.name[:100]}'."
        )
    if bool(request.cron) == bool(request.period_s):
        raise BadInput("A schedule has either a cron line or a period.", hint="Give one of the two.")
    if request.cron:
        cron.parse(request.cron, request.timezone)
    elif request.timezone != "UTC":
        raise BadInput(
            f"A period has no timezone; found '{request.timezone}'.", hint="Give a cron line, or no timezone."
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
