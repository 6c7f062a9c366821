"""Rows of schedules. `server/jobs/schedules.py` decides when one is due next."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import JobState
from quarterdeck.model.schedules import Schedule
from quarterdeck.model.tokens import Role
from quarterdeck.store.state.schema import command, job, schedule


class StoredSchedule(Schedule, frozen=True, kw_only=True):
    """A schedule as it is stored: its commands are issued with the role of the user who created it."""

    role: Role
    script: str | None = None


async def add(connection: AsyncConnection, new: StoredSchedule) -> None:
    """Add a schedule."""
    fields = {name: getattr(new, name) for name in new.__struct_fields__ if name != "states"}
    await connection.execute(insert(schedule).values(**fields))


async def find(connection: AsyncConnection, name: str) -> StoredSchedule | None:
    """Return one schedule by its name."""
    row = (await connection.execute(select(schedule).where(schedule.c.name == name))).mappings().one_or_none()
    return None if row is None else StoredSchedule(**row)


async def find_all(connection: AsyncConnection) -> list[StoredSchedule]:
    """Return all schedules by name."""
    rows = await connection.execute(select(schedule).order_by(schedule.c.name))
    return [StoredSchedule(**row) for row in rows.mappings()]


async def find_due(connection: AsyncConnection, now: float) -> list[StoredSchedule]:
    """Return the schedules that are due, in the order of their times."""
    query = select(schedule).where(schedule.c.next_time <= now).order_by(schedule.c.next_time)
    return [StoredSchedule(**row) for row in (await connection.execute(query)).mappings()]


async def find_next(connection: AsyncConnection) -> float | None:
    """Return when the next schedule is due."""
    return (await connection.execute(select(func.min(schedule.c.next_time)))).scalar_one()


async def save(connection: AsyncConnection, was: StoredSchedule, **changes: object) -> bool:
    """Change a schedule that is still due at the same time; return False when another server was faster."""
    columns = schedule.c
    done = await connection.execute(
        update(schedule)
        .where(columns.name == was.name, columns.create_time == was.create_time)
        .where(columns.next_time.is_not_distinct_from(was.next_time))
        .values(**changes)
    )
    return done.rowcount == 1


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Remove a schedule; return whether it existed."""
    return (await connection.execute(delete(schedule).where(schedule.c.name == name))).rowcount == 1


async def count_states(connection: AsyncConnection, name: str) -> dict[JobState, int]:
    """Return the number of jobs in each state, for the commands of a schedule. Their ids are its name and a time."""
    query = (
        select(job.c.state, func.count())
        .join_from(job, command, command.c.number == job.c.command)
        .where(command.c.id.startswith(f"{name}@", autoescape=True))
        .group_by(job.c.state)
    )
    return {row[0]: row[1] for row in await connection.execute(query)}


def to_schedule(stored: StoredSchedule, states: Mapping[JobState, int]) -> Schedule:
    """Return the schedule as the API shows it."""
    known = Schedule(**{name: getattr(stored, name) for name in Schedule.__struct_fields__})
    return msgspec.structs.replace(known, states=dict(states))
