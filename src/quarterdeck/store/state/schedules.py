"""Rows of schedules. When one is due next is decided in `server/jobs/schedules.py`."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.schedules import Schedule
from quarterdeck.model.tokens import Role
from quarterdeck.store.state.schema import schedule


class StoredSchedule(Schedule, frozen=True, kw_only=True):
    """A schedule as it lies here: its commands are asked with the role of whoever made it."""

    role: Role
    script: str | None = None


async def add(connection: AsyncConnection, new: StoredSchedule) -> None:
    """A new schedule."""
    fields = {name: getattr(new, name) for name in new.__struct_fields__}
    await connection.execute(insert(schedule).values(**fields))


async def find(connection: AsyncConnection, name: str) -> StoredSchedule | None:
    """One schedule by its name."""
    row = (await connection.execute(select(schedule).where(schedule.c.name == name))).mappings().one_or_none()
    return None if row is None else StoredSchedule(**row)


async def find_all(connection: AsyncConnection) -> list[StoredSchedule]:
    """All schedules by name."""
    rows = await connection.execute(select(schedule).order_by(schedule.c.name))
    return [StoredSchedule(**row) for row in rows.mappings()]


async def find_due(connection: AsyncConnection, now: float) -> list[StoredSchedule]:
    """The schedules that are due, in the order of their times."""
    query = select(schedule).where(schedule.c.next_time <= now).order_by(schedule.c.next_time)
    return [StoredSchedule(**row) for row in (await connection.execute(query)).mappings()]


async def find_next(connection: AsyncConnection) -> float | None:
    """When the next schedule is due."""
    return (await connection.execute(select(func.min(schedule.c.next_time)))).scalar_one()


async def save(connection: AsyncConnection, was: StoredSchedule, **changes: object) -> bool:
    """Changes a schedule, unless it is not due when it was any more: someone else was faster. Whether it did."""
    columns = schedule.c
    done = await connection.execute(
        update(schedule)
        .where(columns.name == was.name, columns.create_time == was.create_time)
        .where(columns.next_time.is_not_distinct_from(was.next_time))
        .values(**changes)
    )
    return done.rowcount == 1


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Forgets a schedule; whether there was one."""
    return (await connection.execute(delete(schedule).where(schedule.c.name == name))).rowcount == 1


def shown(stored: StoredSchedule) -> Schedule:
    """What people see of it."""
    return Schedule(**{name: getattr(stored, name) for name in Schedule.__struct_fields__})
