"""Jobs as their node sees them: those to offer to it, and those that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import String, Text, bindparam, or_, select, type_coerce, update
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
    """A job with its command's name, and the agent that represents its node now."""

    row: JobRow
    cmd: str
    agent_id: str | None


_IDS = bindparam("ids", type_=String(), expanding=True)


async def find_named(connection: AsyncConnection, key: NodeKey, ids: Collection[str]) -> dict[str, Named]:
    """Return a node's jobs by the ids of their commands."""
    found: dict[str, Named] = {}
    for part in _parts(list(ids)):
        for fields in await _NAMED.find_named(connection, {"gid": key.gid, "nid": key.nid, "ids": part}):
            command_id, cmd, agent_id = fields.pop("id"), fields.pop("cmd"), fields.pop("agent_id")
            found[command_id] = Named(JobRow(**fields), cmd, agent_id)
    return found


_named = command.alias()
#: the numbers come from a separate query: in a single join, SQLite would read every job that the node ever had
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
    """Return the first `limit` jobs of a node that have no result and whose command's number is above `after`."""
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
    """Return the ids of a node's jobs that are to be killed and have no result yet."""
    return [id_ for (id_,) in await _KILLED.find(connection, {"gid": key.gid, "nid": key.nid})]


_KILLED = Direct(
    select(command.c.id)
    .join_from(job, command, command.c.number == job.c.command)
    .where(IS_UNFINISHED, job.c.killed.is_(True), job.c.gid == bindparam("gid"), job.c.nid == bindparam("nid"))
    .order_by(job.c.command)
)


async def names_content(connection: AsyncConnection, key: NodeKey, sha256: str) -> bool:
    """Return whether an open job of the node names this content: as its file, its script, or its input."""
    wanted = {"gid": key.gid, "nid": key.nid, "sha256": sha256, "text": f"%{sha256}%"}
    found = await _NAMING.find_named(connection, wanted)
    return any(
        sha256 in (row["script"], row["args"].get("sha256" if row["cmd"] == "put_file" else "stdin_sha256"))
        for row in found
    )


_NAMING = Direct(
    select(command.c.cmd, command.c.script, command.c.args)
    .join_from(job, command, command.c.number == job.c.command)
    .where(
        IS_UNFINISHED,
        job.c.gid == bindparam("gid"),
        job.c.nid == bindparam("nid"),
        or_(
            command.c.script == bindparam("sha256"),
            type_coerce(command.c.args, Text).like(bindparam("text", type_=Text)),
        ),
    )
)


async def set_offered(connection: AsyncConnection, offers: Sequence[Offered]) -> None:
    """Record that these jobs are about to be offered to their nodes."""
    keys = [{"b_command": each.command.number, "b_gid": each.key.gid, "b_nid": each.key.nid} for each in offers]
    await _SET_OFFERED.run(connection, keys)


_SET_OFFERED = Direct(update(job).where(THIS).values(offered=True))


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ids in groups that one statement may name."""
    for start in range(0, len(ids), LOOKUP_ROWS):
        yield ids[start : start + LOOKUP_ROWS]
