"""Rows of placements: the desired state of each thing on each node, and the status that its agent reported.

A status is JSON text here, which the kind's own struct reads and writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import AgentState, NodeKey
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.schema import agent, node, placement

c = placement.c


class PlacementKey(NamedTuple):
    """The key of a placement: one thing of a kind on one node. The fields have the names of the table's columns."""

    gid: int
    nid: int
    kind: str
    name: str

    @property
    def node(self) -> NodeKey:
        """Return the key of the node."""
        return NodeKey(self.gid, self.nid)


class WantedPlacement(NamedTuple):
    """The desired state of a thing on a node. The fields have the names of the table's columns."""

    gid: int
    nid: int
    kind: str
    name: str
    version: str
    wanted: bool
    revision: int

    @property
    def node(self) -> NodeKey:
        """Return the key of the node."""
        return NodeKey(self.gid, self.nid)

    @property
    def key(self) -> PlacementKey:
        """Return the key of the placement."""
        return PlacementKey(self.gid, self.nid, self.kind, self.name)


class ReportedPlacement(NamedTuple):
    """The values that a report of a thing on a node is compared with."""

    key: PlacementKey
    wanted: bool
    revision: int
    reported: int


class Report(NamedTuple):
    """The status that an agent reported of a thing, as JSON, and the revision of the desired set that it acted on."""

    revision: int
    status: str


class StoredPlacement(NamedTuple):
    """A whole placement, with the values that decide how its status is read."""

    key: PlacementKey
    version: str
    wanted: bool
    revision: int
    reported: int
    status: str | None
    stats: str | None
    create_time: float
    last_update_time: float
    node_name: str
    agent_id: str
    agent_state: AgentState
    seen_at: float


_WANTED = select(*(c[name] for name in WantedPlacement._fields))
_THIS = (
    c.gid == bindparam("b_gid"),
    c.nid == bindparam("b_nid"),
    c.kind == bindparam("b_kind"),
    c.name == bindparam("b_name"),
)


# ── what is wanted ───────────────────────────────────────────────────────────────────────────────────────────────────
async def find(
    connection: AsyncConnection,
    kind: str,
    *,
    keys: Collection[NodeKey] | None = None,
    names: Collection[str] | None = None,
) -> list[WantedPlacement]:
    """Return the placements of a kind: on all nodes or those in `keys`, of all things or those in `names`."""
    query = _WANTED.where(c.kind == kind)
    if keys is not None:
        query = query.where(tuple_(c.gid, c.nid).in_(list(keys)))
    if names is not None:
        query = query.where(c.name.in_(list(names)))
    return [WantedPlacement(*row) for row in await connection.execute(query)]


async def find_on(connection: AsyncConnection, key: NodeKey) -> list[WantedPlacement]:
    """Return the desired placements of a node, always in the same order: the oldest first."""
    return [WantedPlacement(*row) for row in await _ON.find(connection, key._asdict())]


_ON = Direct(
    _WANTED.where(c.gid == bindparam("gid"), c.nid == bindparam("nid"), c.wanted).order_by(
        c.kind, c.create_time, c.name
    )
)


async def add(connection: AsyncConnection, new: Sequence[WantedPlacement], *, now: float) -> None:
    """Add placements that have no status yet."""
    unknown = {"reported": 0, "status": None, "stats": None, "create_time": now, "last_update_time": now}
    if new:
        await connection.execute(insert(placement), [{**row._asdict(), **unknown} for row in new])


async def change(connection: AsyncConnection, changed: Sequence[WantedPlacement], *, now: float) -> None:
    """Change the desired state of these placements."""
    values: dict[str, Any] = {name: bindparam(f"b_{name}") for name in ("version", "wanted", "revision")}
    statement = update(placement).where(*_THIS).values(**values, last_update_time=now)
    if changed:
        await connection.execute(statement, [_bound(row._asdict()) for row in changed])


# ── what agents report ───────────────────────────────────────────────────────────────────────────────────────────────
async def find_reported(
    connection: AsyncConnection, keys: Collection[NodeKey]
) -> dict[tuple[NodeKey, str], list[ReportedPlacement]]:
    """Return the values that reports of these nodes are compared with, by node and kind."""
    found: dict[tuple[NodeKey, str], list[ReportedPlacement]] = {}
    query = select(c.gid, c.nid, c.kind, c.name, c.wanted, c.revision, c.reported)
    for gid, nid, kind, name, wanted, revision, reported in await connection.execute(
        query.where(tuple_(c.gid, c.nid).in_(list(keys)))
    ):
        row = ReportedPlacement(PlacementKey(gid, nid, kind, name), wanted, revision, reported)
        found.setdefault((row.key.node, kind), []).append(row)
    return found


async def set_statuses(connection: AsyncConnection, reports: Mapping[PlacementKey, Report], *, now: float) -> None:
    """Store the statuses that agents reported."""
    values: dict[str, Any] = {
        "reported": bindparam("b_reported"),
        "status": bindparam("b_status"),
        "last_update_time": now,
    }
    rows = [
        _bound({**key._asdict(), "reported": report.revision, "status": report.status})
        for key, report in reports.items()
    ]
    if rows:
        await connection.execute(update(placement).where(*_THIS).values(**values), rows)


async def clear_statuses(connection: AsyncConnection, keys: Collection[NodeKey]) -> None:
    """Forget all statuses of these nodes, whose agents started without their state."""
    if keys:
        on_these = tuple_(c.gid, c.nid).in_(list(keys))
        await connection.execute(update(placement).where(on_these).values(reported=0, status=None))


async def set_stats(connection: AsyncConnection, stats: Mapping[PlacementKey, str]) -> None:
    """Store the costs of things so far, as JSON; those of things that are not placed are ignored."""
    rows = [_bound({**key._asdict(), "stats": counted}) for key, counted in stats.items()]
    if rows:
        await connection.execute(update(placement).where(*_THIS).values(stats=bindparam("b_stats")), rows)


async def remove(connection: AsyncConnection, keys: Iterable[PlacementKey]) -> None:
    """Remove placements that have ended on their nodes."""
    rows = [_bound(key._asdict()) for key in keys]
    if rows:
        await connection.execute(delete(placement).where(*_THIS), rows)


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────────
async def find_all(connection: AsyncConnection, kind: str, *, name: str | None = None) -> list[StoredPlacement]:
    """Return every placement of a kind, or those of one thing, in the order of names and nodes."""
    query = _ALL.where(c.kind == kind)
    if name is not None:
        query = query.where(c.name == name)
    found: list[tuple[Any, ...]] = [
        tuple(row) for row in await connection.execute(query.order_by(c.name, c.gid, c.nid))
    ]
    return [StoredPlacement(PlacementKey(*row[:4]), *row[4:]) for row in found]


_ALL = (
    select(
        *(c[name] for name in PlacementKey._fields),
        c.version,
        c.wanted,
        c.revision,
        c.reported,
        c.status,
        c.stats,
        c.create_time,
        c.last_update_time,
        node.c.name,
        node.c.agent_id,
        agent.c.state,
        agent.c.seen_at,
    )
    .join_from(placement, node, (node.c.gid == c.gid) & (node.c.nid == c.nid))
    .join(agent, agent.c.agent_id == node.c.agent_id)
)


async def find_offline(connection: AsyncConnection, kind: str, names: Collection[str]) -> list[str]:
    """Return the names of the nodes that should have one of these things and whose agents are not ONLINE."""
    query = (
        select(node.c.name)
        .distinct()
        .join_from(placement, node, (node.c.gid == c.gid) & (node.c.nid == c.nid))
        .join(agent, agent.c.agent_id == node.c.agent_id)
        .where(c.kind == kind, c.name.in_(list(names)), c.wanted, agent.c.state != AgentState.ONLINE)
        .order_by(node.c.name)
    )
    return list((await connection.execute(query)).scalars())


def _bound(fields: Mapping[str, object]) -> dict[str, object]:
    return {f"b_{name}": value for name, value in fields.items()}
