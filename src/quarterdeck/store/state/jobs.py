"""Rows of commands and of their jobs. Which change of a job is right is decided in `server/ledger.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Integer,
    RowMapping,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import Command, Job, JobResult, JobState, is_final
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.store.state.nodes import NodeKey
from quarterdeck.store.state.schema import agent, command, job, node, redis_command

UNFINISHED = tuple(state for state in JobState if not is_final(state))
#: rows of one lookup by their keys
LOOKUP_ROWS = 2000


class StoredCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it lies here."""

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
    """What a change of a job needs to know of it, and what it may change."""

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
        """On which node."""
        return NodeKey(self.gid, self.nid)


class Offered(NamedTuple):
    """A job of a node that has no result yet."""

    key: NodeKey
    number: int
    offered: bool
    killed: bool
    taken: bool


class Shown(NamedTuple):
    """A job with what its node's agent is doing; None when there is no such node any more."""

    job: Job
    change: int
    killed: bool
    agent_state: AgentState | None
    seen_at: float


_ROW = [job.c[name] for name in JobRow.__struct_fields__]
_UNFINISHED = job.c.state.in_(UNFINISHED)


async def next_change(connection: AsyncConnection) -> int:
    """A number above that of every change there was of a job that is still here."""
    newest = (await connection.execute(select(func.max(job.c.change)))).scalar_one()
    return (newest or 0) + 1


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def add(
    connection: AsyncConnection, new: StoredCommand, jobs: Mapping[NodeKey, str], *, here: set[NodeKey]
) -> int:
    """A new command with a job on each node (by its name); those `here` count as offered. The command's number."""
    return (await add_all(connection, [(new, jobs)], here=here))[0]


async def add_all(
    connection: AsyncConnection, new: Sequence[tuple[StoredCommand, Mapping[NodeKey, str]]], *, here: set[NodeKey]
) -> list[int]:
    """Many at a time, each as `add` would; their numbers."""
    commands = [
        {name: value for name, value in msgspec.structs.asdict(each).items() if name != "number"} for each, _ in new
    ]
    statement = insert(command).returning(command.c.number, sort_by_parameter_order=True)
    numbers = [number for (number,) in await connection.execute(statement, commands)]
    change = await next_change(connection)
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
    await connection.execute(insert(job), [row | {"change": change + at} for at, row in enumerate(rows)])
    return numbers


async def find_command(connection: AsyncConnection, command_id: str) -> StoredCommand | None:
    """One command by its id."""
    row = (await connection.execute(select(command).where(command.c.id == command_id))).mappings().one_or_none()
    return None if row is None else StoredCommand(**row)


async def find_ids(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Which of these ids are those of commands."""
    return set((await connection.execute(select(command.c.id).where(command.c.id.in_(ids)))).scalars())


async def find_bodies(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, StoredCommand]:
    """Commands by their numbers."""
    rows = await connection.execute(select(command).where(command.c.number.in_(numbers)))
    return {row["number"]: StoredCommand(**row) for row in rows.mappings()}


async def find_newest(connection: AsyncConnection, limit: int) -> list[Command]:
    """The last `limit` commands, the newest first."""
    fields = ("number", "id", "cmd", "args", "selector", "actor", "create_time", "expires_at")
    query = select(*(command.c[name] for name in fields)).order_by(command.c.number.desc()).limit(limit)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    states = await count_states(connection, [row["number"] for row in rows])
    return [Command(states=states.get(row.pop("number"), {}), **row) for row in rows]


async def count_states(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, dict[JobState, int]]:
    """How many jobs of each of these commands are in each state."""
    query = (
        select(job.c.command, job.c.state, func.count())
        .where(job.c.command.in_(numbers))
        .group_by(job.c.command, job.c.state)
    )
    found: dict[int, dict[JobState, int]] = {}
    for number, state, count in await connection.execute(query):
        found.setdefault(number, {})[state] = count
    return found


async def end(connection: AsyncConnection, numbers: Sequence[int], *, now: float) -> list[StoredCommand]:
    """Those of these commands whose last job has got its result now."""
    unfinished = exists().where(job.c.command == command.c.number, _UNFINISHED)
    ended = await connection.execute(
        update(command)
        .where(command.c.number.in_(numbers), command.c.ended_at.is_(None), ~unfinished)
        .values(ended_at=now)
        .returning(command)
    )
    return [StoredCommand(**row) for row in ended.mappings()]


async def prune(connection: AsyncConnection, kept: int) -> int:
    """Forgets the oldest commands that have ended, but for the newest `kept` of them; how many.

    One whose results Redis is still to get stays.
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
    """Whether more than `kept` commands have ended."""
    query = select(command.c.number).where(command.c.ended_at.is_not(None)).offset(kept).limit(1)
    return (await connection.execute(query)).first() is not None


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def find(
    connection: AsyncConnection,
    *,
    number: int | None = None,
    key: NodeKey | None = None,
    state: JobState | None = None,
    limit: int | None = None,
) -> list[Shown]:
    """Jobs of one command, of one node, in one state, or all: the newest command first, by node within it."""
    query = _SHOWN.order_by(job.c.command.desc(), job.c.gid, job.c.nid).limit(limit)
    if number is not None:
        query = query.where(job.c.command == number)
    if key is not None:
        query = query.where(job.c.gid == key.gid, job.c.nid == key.nid)
    if state is not None:
        query = query.where(job.c.state == state)
    return [_to_shown(row) for row in (await connection.execute(query)).mappings()]


async def find_changed(connection: AsyncConnection, number: int, *, after: int, limit: int) -> list[Shown]:
    """The jobs of a command that changed after `after`, in the order of their changes."""
    query = _SHOWN.where(job.c.command == number, job.c.change > after).order_by(job.c.change).limit(limit)
    return [_to_shown(row) for row in (await connection.execute(query)).mappings()]


async def find_unfinished(
    connection: AsyncConnection, *, number: int | None = None, key: NodeKey | None = None
) -> list[JobRow]:
    """The jobs of a command or of a node that have no result yet."""
    where: list[ColumnElement[bool]] = [_UNFINISHED]
    if number is not None:
        where.append(job.c.command == number)
    if key is not None:
        where += [job.c.gid == key.gid, job.c.nid == key.nid]
    return await _rows(connection, *where)


async def find_expired(connection: AsyncConnection, *, now: float, limit: int) -> list[JobRow]:
    """Jobs that no node was offered and whose command has expired."""
    query = (
        select(*_ROW)
        .join_from(job, command, command.c.number == job.c.command)
        .where(job.c.state == JobState.QUEUED, job.c.offered.is_(False), command.c.expires_at <= now)
        .limit(limit)
    )
    return [JobRow(**row) for row in (await connection.execute(query)).mappings()]


async def find_named(
    connection: AsyncConnection, wanted: Sequence[tuple[str, NodeKey]]
) -> dict[tuple[str, NodeKey], tuple[JobRow, str]]:
    """Jobs by the ids of their commands and their nodes, each with its command's word."""
    found: dict[tuple[str, NodeKey], tuple[JobRow, str]] = {}
    for start in range(0, len(wanted), LOOKUP_ROWS):
        part = wanted[start : start + LOOKUP_ROWS]
        commands = select(command.c.number, command.c.id, command.c.cmd)
        rows = await connection.execute(commands.where(command.c.id.in_({command_id for command_id, _ in part})))
        known = {command_id: (number, cmd) for number, command_id, cmd in rows}
        keys = {(known[i][0], *key): (i, key) for i, key in part if i in known}
        if keys:
            for row in await _rows(connection, tuple_(job.c.command, job.c.gid, job.c.nid).in_(list(keys))):
                name = keys[row.command, row.gid, row.nid]
                found[name] = (row, known[name[0]][1])
    return found


async def find_offers(connection: AsyncConnection, after: Mapping[NodeKey, int], *, limit: int) -> list[Offered]:
    """Of each node the first `limit` jobs without a result whose command's number is above the node's in `after`."""
    names = ("gid", "nid", "after")
    wanted = (
        values(*(column(name, Integer) for name in names), name="wanted")
        .data([(key.gid, key.nid, number) for key, number in after.items()])
        .cte()
    )
    place = func.row_number().over(partition_by=(job.c.gid, job.c.nid), order_by=job.c.command).label("place")
    found = (
        select(job.c.gid, job.c.nid, job.c.command, job.c.offered, job.c.killed, job.c.accept_time, place)
        .join_from(job, wanted, (wanted.c.gid == job.c.gid) & (wanted.c.nid == job.c.nid))
        .where(_UNFINISHED, job.c.command > wanted.c.after)
        .subquery()
    )
    f = found.c
    query = select(f.gid, f.nid, f.command, f.offered, f.killed, f.accept_time)
    rows = await connection.execute(query.where(f.place <= limit).order_by(f.command))
    return [
        Offered(NodeKey(gid, nid), number, offered, killed, accept_time > 0)
        for gid, nid, number, offered, killed, accept_time in rows
    ]


async def find_killed(connection: AsyncConnection, keys: Sequence[NodeKey]) -> dict[NodeKey, list[str]]:
    """The ids of the jobs on these nodes whose end somebody asked for and that have no result yet."""
    query = (
        select(job.c.gid, job.c.nid, command.c.id)
        .join_from(job, command, command.c.number == job.c.command)
        .where(_UNFINISHED, job.c.killed.is_(True), tuple_(job.c.gid, job.c.nid).in_(keys))
        .order_by(job.c.command)
    )
    found: dict[NodeKey, list[str]] = {}
    for gid, nid, command_id in await connection.execute(query):
        found.setdefault(NodeKey(gid, nid), []).append(command_id)
    return found


async def set_offered(connection: AsyncConnection, offers: Sequence[Offered]) -> None:
    """These jobs are about to be offered to their nodes."""
    await connection.execute(
        update(job).where(_IS).values(offered=True),
        [{"b_command": each.number, "b_gid": each.key.gid, "b_nid": each.key.nid} for each in offers],
    )


async def save(connection: AsyncConnection, rows: Sequence[JobRow], *, now: float) -> None:
    """Jobs as they are now. Each is a change of its own."""
    if not rows:
        return
    change = await next_change(connection)
    statement = (
        update(job)
        .where(_IS)
        .values(
            state=bindparam("b_state"),
            reason=bindparam("b_reason"),
            killed=bindparam("b_killed"),
            accept_time=bindparam("b_accept_time"),
            result=bindparam("b_result"),
            change=bindparam("b_change"),
            last_update_time=now,
        )
    )
    stored = [
        {f"b_{name}": value for name, value in msgspec.structs.asdict(row).items() if name != "offered"}
        | {"b_change": change + at}
        for at, row in enumerate(rows)
    ]
    await connection.execute(statement, stored)


_IS = (job.c.command == bindparam("b_command")) & (job.c.gid == bindparam("b_gid")) & (job.c.nid == bindparam("b_nid"))
_JOB = (
    "gid", "nid", "node_name", "state", "reason", "create_time", "accept_time", "last_update_time", "result",
    "change", "killed",
)  # fmt: skip
_SHOWN = (
    select(
        command.c.id,
        command.c.cmd,
        *(job.c[name] for name in _JOB),
        agent.c.state.label("agent_state"),
        func.coalesce(agent.c.seen_at, 0.0).label("seen_at"),
    )
    .join_from(job, command, command.c.number == job.c.command)
    .join(node, (node.c.gid == job.c.gid) & (node.c.nid == job.c.nid), isouter=True)
    .join(agent, agent.c.agent_id == node.c.agent_id, isouter=True)
)


def _to_shown(row: RowMapping) -> Shown:
    fields = dict(row)
    return Shown(
        change=fields.pop("change"),
        killed=fields.pop("killed"),
        agent_state=fields.pop("agent_state"),
        seen_at=fields.pop("seen_at"),
        job=Job(**fields),
    )


async def _rows(connection: AsyncConnection, *where: ColumnElement[bool]) -> list[JobRow]:
    query = select(*_ROW).where(*where).order_by(job.c.command, job.c.gid, job.c.nid)
    return [JobRow(**row) for row in (await connection.execute(query)).mappings()]
