"""Rows of commands that came through Redis: additional columns of the command, and which results were delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.store.state.jobs import UNFINISHED
from quarterdeck.store.state.schema import command, job, redis_command


class Queued(NamedTuple):
    """The additional columns of a command."""

    digest: str
    tags: str
    jobs: int


class Undelivered(NamedTuple):
    """A job that has its result, with the values that the delivered result states about its command."""

    command: int
    change: int
    id: str
    cmd: str
    args: dict[str, Any]
    tags: str
    jobs: int
    gid: int
    nid: int
    state: JobState
    reason: str
    result: JobResult | None


async def add_all(connection: AsyncConnection, queued: Mapping[int, Queued]) -> None:
    """Add rows for new commands, by their numbers."""
    if queued:
        rows = [{"command": number, "delivered": 0, **each._asdict()} for number, each in queued.items()]
        await connection.execute(insert(redis_command), rows)


async def find_digests(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, str]:
    """Return the digests of those of these commands that exist; "" for one that came another way."""
    query = (
        select(command.c.id, redis_command.c.digest)
        .join_from(command, redis_command, redis_command.c.command == command.c.number, isouter=True)
        .where(command.c.id.in_(ids))
    )
    return {command_id: digest or "" for command_id, digest in await connection.execute(query)}


async def find_undelivered(
    connection: AsyncConnection, *, numbers: Sequence[int] | None, limit: int
) -> list[Undelivered]:
    """Return the first `limit` results that are not delivered, of these commands or of all, in the order they came."""
    query = (
        select(
            job.c.command,
            job.c.change,
            command.c.id,
            command.c.cmd,
            command.c.args,
            redis_command.c.tags,
            redis_command.c.jobs,
            job.c.gid,
            job.c.nid,
            job.c.state,
            job.c.reason,
            job.c.result,
        )
        .join_from(redis_command, job, job.c.command == redis_command.c.command)
        .join(command, command.c.number == redis_command.c.command)
        .where(job.c.change > redis_command.c.delivered, job.c.state.not_in(UNFINISHED))
        .order_by(job.c.change)
        .limit(limit)
    )
    if numbers is not None:
        query = query.where(redis_command.c.command.in_(numbers))
    return [Undelivered(*row) for row in await connection.execute(query)]


async def set_delivered(connection: AsyncConnection, changes: Mapping[int, int]) -> None:
    """Store, by command, the last of its changes whose result was delivered."""
    await connection.execute(
        update(redis_command)
        .where(redis_command.c.command == bindparam("b_command"))
        .values(delivered=bindparam("b_delivered")),
        [{"b_command": number, "b_delivered": change} for number, change in changes.items()],
    )
