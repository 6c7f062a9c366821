"""Rows of commands and of their jobs. `server/jobs/ledger.py` decides which change of a job is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import Command, Job, JobResult, JobState, is_final
from quarterdeck.model.nodes import AgentState, NodeKey, Selector
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.schema import agent, command, job, node, redis_command

UNFINISHED = tuple(state for state in JobState if not is_final(state))
#: rows of one lookup by their keys
LOOKUP_ROWS = 2000
#: commands in which words are searched, from the newest
SEARCHED = 1000


class StoredCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it is stored."""

    number: int = 0  #: 0 until it is stored
    id: str
    cmd: str
    args: dict[str, Any]
    data: str
    selector: Selector
    actor: str
    role: str
    create_time: float
    expires_at: float | None = None
    ended_at: float | None = None
    script: str | None = None


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a job that a change reads or writes."""

    command: int
    gid: int
    nid: int
    state: JobState
    reason: str
    offered: bool
    killed: bool
    accept_time: float
    result: JobResult | None

    @property
    def key(self) -> NodeKey:
        """Return the key of the job's node."""
        return NodeKey(self.gid, self.nid)


class JobOnNode(NamedTuple):
    """A job with the state of its node's agent, which is None when the node was removed."""

    job: Job
    change: int
    killed: bool
    agent_state: AgentState | None
    seen_at: float
    ended: bool  #: every job of its command has its result
    expires_at: float | None  #: when its command expires


ROW = [job.c[name] for name in JobRow.__struct_fields__]
IS_UNFINISHED = or_(*(job.c.state == state for state in UNFINISHED))
_NUMBERS = bindparam("numbers", type_=Integer(), expanding=True)


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def add(
    connection: AsyncConnection, new: StoredCommand, jobs: Mapping[NodeKey, str], *, here: set[NodeKey]
) -> int:
    """Add a command with a job on each node (by its name); jobs in `here` count as offered. Return its number."""
    return (await add_all(connection, [(new, jobs)], here=here))[0]


async def add_all(
    connection: AsyncConnection, new: Sequence[tuple[StoredCommand, Mapping[NodeKey, str]]], *, here: set[NodeKey]
) -> list[int]:
    """Add many commands at once, as `add` does; return their numbers."""
    ((newest, change),) = await _NEWEST.find(connection, {})  # no other transaction writes until this one ends
    numbers = [newest + at for at in range(1, len(new) + 1)]
    await _ADD_COMMANDS.run(
        connection,
        [msgspec.structs.asdict(each) | {"number": number} for number, (each, _) in zip(numbers, new, strict=True)],
    )
    rows = [
        {
            "command": number,
            "gid": key.gid,
            "nid": key.nid,
            "node_name": name,
            "state": JobState.QUEUED,
            "reason": "",
            "offered": key in here,
            "killed": False,
            "result": None,
            "create_time": each.create_time,
            "accept_time": 0.0,
            "last_update_time": each.create_time,
        }
        for number, (each, jobs) in zip(numbers, new, strict=True)
        for key, name in jobs.items()
    ]
    await _ADD_JOBS.run(connection, [row | {"change": change + at} for at, row in enumerate(rows, 1)])
    return numbers


#: the last command's number, and the last change of an existing job; 0 for none
_NEWEST = Direct(
    select(
        select(func.coalesce(func.max(command.c.number), 0)).scalar_subquery(),
        select(func.coalesce(func.max(job.c.change), 0)).scalar_subquery(),
    )
)
_ADD_COMMANDS, _ADD_JOBS = Direct(insert(command)), Direct(insert(job))


async def find_command(connection: AsyncConnection, command_id: str) -> StoredCommand | None:
    """Return one command by its id."""
    found = await _BY_ID.find_named(connection, {"id": command_id})
    return StoredCommand(**found[0]) if found else None


COMMAND = [command.c[name] for name in StoredCommand.__struct_fields__]
_BY_ID = Direct(select(*COMMAND).where(command.c.id == bindparam("id")))


async def find_ids(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Return those of these ids that belong to commands."""
    return set((await connection.execute(select(command.c.id).where(command.c.id.in_(ids)))).scalars())


async def has_ended(connection: AsyncConnection, number: int) -> bool:
    """Return whether all jobs of a command have results, or the command was removed."""
    return not await _OPEN.find(connection, {"number": number})


_OPEN = Direct(select(command.c.number).where(command.c.number == bindparam("number"), command.c.ended_at.is_(None)))


async def find_newest(
    connection: AsyncConnection,
    limit: int,
    *,
    since: float | None = None,
    words: Sequence[str] = (),
    searched: int = SEARCHED,
) -> list[Command]:
    """Return the last `limit` commands, the newest first; with `since` those from then on.

    With `words`, return those of the newest `searched` that have each word in the name or the arguments of the command
    or in the name of a node, or at the beginning of the id. The case of ASCII letters is ignored.
    """
    fields = ("number", "id", "cmd", "args", "selector", "actor", "create_time", "expires_at")
    query = select(*(command.c[name] for name in fields)).order_by(command.c.number.desc()).limit(limit)
    if since is not None:
        query = query.where(command.c.create_time >= since)
    if words:
        oldest = select(command.c.number).order_by(command.c.number.desc()).offset(searched).limit(1).scalar_subquery()
        query = query.where(command.c.number > func.coalesce(oldest, 0), *map(_has_word, words))
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    states = await count_states(connection, [row["number"] for row in rows])
    return [Command(states=states.get(row.pop("number"), {}), **row) for row in rows]


def _has_word(word: str) -> ColumnElement[bool]:
    word = word.lower()
    lower = func.lower
    return or_(
        lower(command.c.id).startswith(word, autoescape=True),
        lower(command.c.cmd).contains(word, autoescape=True),
        lower(type_coerce(command.c.args, Text)).contains(word, autoescape=True),
        exists().where(job.c.command == command.c.number, lower(job.c.node_name).contains(word, autoescape=True)),
    )


async def count_states(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, dict[JobState, int]]:
    """Return how many jobs of each of these commands are in each state."""
    found: dict[int, dict[JobState, int]] = {}
    for number, state, count in await _STATES.find(connection, {"numbers": list(numbers)}):
        found.setdefault(number, {})[state] = count
    return found


_STATES = Direct(
    select(job.c.command, job.c.state, func.count())
    .where(job.c.command.in_(_NUMBERS))
    .group_by(job.c.command, job.c.state)
)


async def end(connection: AsyncConnection, numbers: Sequence[int], *, now: float) -> list[StoredCommand]:
    """Mark those of these commands whose jobs all have results as ended; return them."""
    return [StoredCommand(**row) for row in await _END.find_named(connection, {"numbers": list(numbers), "now": now})]


_END = Direct(
    update(command)
    .where(
        command.c.number.in_(_NUMBERS),
        command.c.ended_at.is_(None),
        ~exists().where(job.c.command == command.c.number, IS_UNFINISHED),
    )
    .values(ended_at=bindparam("now"))
    .returning(*COMMAND)
)


async def prune(connection: AsyncConnection, kept: int) -> int:
    """Remove the oldest ended commands, except the newest `kept` of them; return how many were removed.

    Commands whose results Redis has not received yet stay.
    """
    ended = command.c.ended_at.is_not(None)
    newest = select(command.c.number).where(ended).order_by(command.c.number.desc()).offset(kept).limit(1)
    last = (await connection.execute(newest)).scalar_one_or_none()
    if last is None:
        return 0
    undelivered = (
        exists()
        .where(redis_command.c.command == command.c.number, job.c.command == command.c.number)
        .where(job.c.change > redis_command.c.delivered)
    )
    return (await connection.execute(delete(command).where(ended, command.c.number <= last, ~undelivered))).rowcount


async def has_more_than(connection: AsyncConnection, kept: int) -> bool:
    """Return whether more than `kept` commands have ended."""
    query = select(command.c.number).where(command.c.ended_at.is_not(None)).offset(kept).limit(1)
    return (await connection.execute(query)).first() is not None


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def find(
    connection: AsyncConnection,
    *,
    number: int | None = None,
    keys: Sequence[NodeKey] | None = None,
    state: JobState | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> list[JobOnNode]:
    """Return jobs of one command, of some nodes, in one state, since a moment, or all.

    The newest command comes first, and within it the jobs by node.
    """
    query = _WITH_AGENT.order_by(job.c.command.desc(), job.c.gid, job.c.nid).limit(limit)
    if number is not None:
        query = query.where(job.c.command == number)
    if keys is not None:
        query = query.where(_is_one_of(keys))
    if since is not None:
        query = query.where(job.c.create_time >= since)
    if state is not None:
        query = query.where(job.c.state == state)
    return [_to_job_on_node(row) for row in (await connection.execute(query)).mappings()]


def _is_one_of(keys: Sequence[NodeKey]) -> ColumnElement[bool]:
    """Return the condition that a job is on one of these nodes.

    Their numbers are inlined, since a fleet may have more nodes than a statement has parameters.
    """
    grids: dict[int, list[int]] = {}
    for key in keys:
        grids.setdefault(key.gid, []).append(key.nid)
    conditions = [and_(job.c.gid == gid, job.c.nid.in_(_inlined(gid, nids))) for gid, nids in grids.items()]
    return or_(false(), *conditions)


def _inlined(gid: int, nids: Sequence[int]) -> BindParameter[int]:
    return BindParameter(f"nids_{gid}", nids, type_=Integer(), expanding=True, literal_execute=True)


async def find_changed(connection: AsyncConnection, number: int, *, after: int, limit: int) -> list[JobOnNode]:
    """Return the jobs of a command that changed after `after`, in the order of their changes."""
    found = await _CHANGED.find_named(connection, {"number": number, "after": after, "limit": limit})
    return [_to_job_on_node(row) for row in found]


async def find_unfinished(
    connection: AsyncConnection, *, number: int | None = None, key: NodeKey | None = None
) -> list[JobRow]:
    """Return the jobs of a command or of a node that have no result yet."""
    where: list[ColumnElement[bool]] = [IS_UNFINISHED]
    if number is not None:
        where.append(job.c.command == number)
    if key is not None:
        where += [job.c.gid == key.gid, job.c.nid == key.nid]
    return await _rows(connection, *where)


async def find_expired(connection: AsyncConnection, *, now: float, limit: int) -> list[JobRow]:
    """Return jobs that were not offered to a node and whose command has expired."""
    query = (
        select(*ROW)
        .join_from(job, command, command.c.number == job.c.command)
        .where(job.c.state == JobState.QUEUED, job.c.offered.is_(False), command.c.expires_at <= now)
        .limit(limit)
    )
    return [JobRow(**row) for row in (await connection.execute(query)).mappings()]


async def save(connection: AsyncConnection, rows: Sequence[JobRow], *, now: float) -> None:
    """Save the current state of jobs. Each counts as one change."""
    await _SAVE.run(
        connection,
        [
            {f"b_{name}": getattr(row, name) for name in JobRow.__struct_fields__ if name != "offered"} | {"b_now": now}
            for row in rows
        ],
    )


_other = job.alias()
THIS = (job.c.command == bindparam("b_command")) & (job.c.gid == bindparam("b_gid")) & (job.c.nid == bindparam("b_nid"))
_SAVE = Direct(
    update(job)
    .where(THIS)
    .values(
        state=bindparam("b_state"),
        reason=bindparam("b_reason"),
        killed=bindparam("b_killed"),
        accept_time=bindparam("b_accept_time"),
        result=bindparam("b_result"),
        last_update_time=bindparam("b_now"),
        change=select(func.max(_other.c.change) + 1).scalar_subquery(),
    )
)
_JOB = (
    "gid", "nid", "node_name", "state", "reason", "create_time", "accept_time", "last_update_time", "result",
    "change", "killed",
)  # fmt: skip
_WITH_AGENT = (
    select(
        command.c.id,
        command.c.cmd,
        *(job.c[name] for name in _JOB),
        agent.c.state.label("agent_state"),
        func.coalesce(agent.c.seen_at, 0.0).label("seen_at"),
        command.c.ended_at.is_not(None).label("ended"),
        command.c.expires_at,
    )
    .join_from(job, command, command.c.number == job.c.command)
    .join(node, (node.c.gid == job.c.gid) & (node.c.nid == job.c.nid), isouter=True)
    .join(agent, agent.c.agent_id == node.c.agent_id, isouter=True)
)
_CHANGED = Direct(
    _WITH_AGENT.where(job.c.command == bindparam("number"), job.c.change > bindparam("after"))
    .order_by(job.c.change)
    .limit(bindparam("limit"))
)


def _to_job_on_node(row: Mapping[Any, Any]) -> JobOnNode:
    fields = dict(row)
    return JobOnNode(
        change=fields.pop("change"),
        killed=fields.pop("killed"),
        agent_state=fields.pop("agent_state"),
        seen_at=fields.pop("seen_at"),
        ended=fields.pop("ended"),
        expires_at=fields.pop("expires_at"),
        job=Job(**fields),
    )


async def _rows(connection: AsyncConnection, *where: ColumnElement[bool]) -> list[JobRow]:
    query = select(*ROW).where(*where).order_by(job.c.command, job.c.gid, job.c.nid)
    return [JobRow(**row) for row in (await connection.execute(query)).mappings()]
