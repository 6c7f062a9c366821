"""Jobs as their node is told of them and speaks of them: those it is to have, and those it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import NodeKey
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.jobs import COMMAND, IS_UNFINISHED, LOOKUP_ROWS, ROW, THIS, JobRow, StoredCommand
from quarterdeck.store.state.schema import command, job, node


class Offered(NamedTuple):
    """A job of a node that has no result yet."""

    key: NodeKey
    command: StoredCommand
    offered: bool
    taken: bool


class Named(NamedTuple):
    """A job with its command's word, and which agent stands for its node now."""

    row: JobRow
    cmd: str
    agent_id: str | None


_IDS = bindparam("ids", type_=String(), expanding=True)


async def find_named(connection: AsyncConnection, key: NodeKey, ids: Collection[str]) -> dict[str, Named]:
    """A node's jobs by the ids of their commands."""
    found: dict[str, Named] = {}
    for part in _parts(list(ids)):
        for fields in await _NAMED.find_named(connection, {"gid": key.gid, "nid": key.nid, "ids": part}):
            command_id, cmd, agent_id = fields.pop("id"), fields.pop("cmd"), fields.pop("agent_id")
            found[command_id] = Named(JobRow(**fields), cmd, agent_id)
    return found


_named = command.alias()
#: the numbers come from a query of their own: joined alone, SQLite would go through every job that the node ever had
_NAMED = Direct(
    select(command.c.id, command.c.cmd, node.c.agent_id, *ROW)
    .join_from(job, command, command.c.number == job.c.command)
    .join(node, (node.c.gid == job.c.gid) & (node.c.nid == job.c.nid), isouter=True)
    .where(
        job.c.command.in_(select(_named.c.number).where(_named.c.id.in_(_IDS))),
        job.c.gid == bindparam("gid"),
        job.c.nid == bindparam("nid"),
    )
)


async def find_offers(connection: AsyncConnection, key: NodeKey, *, after: int, limit: int) -> list[Offered]:
    """The first `limit` jobs of a node without a result whose command's number is above `after`."""
    wanted = {"gid": key.gid, "nid": key.nid, "after": after, "limit": limit}
    return [_offered(key, fields) for fields in await _OFFERS.find_named(connection, wanted)]


def _offered(key: NodeKey, fields: dict[str, Any]) -> Offered:
    offered, taken = fields.pop("offered"), fields.pop("accept_time") > 0
    return Offered(key, StoredCommand(**fields), offered, taken)


_OFFERS = Direct(
    select(job.c.offered, job.c.accept_time, *COMMAND)
    .join_from(job, command, command.c.number == job.c.command)
    .where(
        IS_UNFINISHED,
        job.c.gid == bindparam("gid"),
        job.c.nid == bindparam("nid"),
        job.c.command > bindparam("after"),
    )
    .order_by(job.c.command)
    .limit(bindparam("limit"))
)


async def find_killed(connection: AsyncConnection, key: NodeKey) -> list[str]:
    """The ids of a node's jobs whose end somebody asked for and that have no result yet."""
    return [id_ for (id_,) in await _KILLED.find(connection, {"gid": key.gid, "nid": key.nid})]


_KILLED = Direct(
    select(command.c.id)
    .join_from(job, command, command.c.number == job.c.command)
    .where(IS_UNFINISHED, job.c.killed.is_(True), job.c.gid == bindparam("gid"), job.c.nid == bindparam("nid"))
    .order_by(job.c.command)
)


async def set_offered(connection: AsyncConnection, offers: Sequence[Offered]) -> None:
    """These jobs are about to be offered to their nodes."""
    keys = [{"b_command": each.command.number, "b_gid": each.key.gid, "b_nid": each.key.nid} for each in offers]
    await _SET_OFFERED.run(connection, keys)


_SET_OFFERED = Direct(update(job).where(THIS).values(offered=True))


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as one statement may name."""
    for start in range(0, len(ids), LOOKUP_ROWS):
        yield ids[start : start + LOOKUP_ROWS]
