"""Rows of services: what is declared, what each node should run of it, and what its agent said of that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import AgentState, NodeKey
from quarterdeck.model.services import Service, ServiceStatus
from quarterdeck.store.state.schema import agent, node, service, service_on_node


class StoredService(NamedTuple):
    """A service. The names are those of the table's columns."""

    name: str
    group: str
    version: str
    body: Service
    actor: str
    create_time: float
    last_update_time: float


class Placed(NamedTuple):
    """What is wanted of a service on a node. The names are those of the table's columns."""

    name: str
    gid: int
    nid: int
    version: str
    wanted: bool
    revision: int

    @property
    def key(self) -> NodeKey:
        """The node it is on."""
        return NodeKey(self.gid, self.nid)


class Reported(NamedTuple):
    """What a service on a node is measured by when its agent reports."""

    name: str
    wanted: bool
    revision: int
    status: ServiceStatus | None


class Shown(NamedTuple):
    """A service on a node, with what decides how its status is to be read."""

    name: str
    key: NodeKey
    node_name: str
    wanted: bool
    revision: int
    status: ServiceStatus | None
    agent_state: AgentState
    seen_at: float


_SERVICES = select(*(service.c[name] for name in StoredService._fields))
_on = service_on_node.c
_PLACED = select(*(_on[name] for name in Placed._fields))


# ── what is declared ─────────────────────────────────────────────────────────────────────────────────────────────────
async def find_all(connection: AsyncConnection) -> dict[str, StoredService]:
    """Every service by its name, in the order of the names."""
    rows = [StoredService(*row) for row in await connection.execute(_SERVICES.order_by(service.c.name))]
    return {row.name: row for row in rows}


async def find(connection: AsyncConnection, name: str) -> StoredService | None:
    """One service by its name."""
    if not name.isprintable():  # no name is; and PostgreSQL takes no NUL
        return None
    row = (await connection.execute(_SERVICES.where(service.c.name == name))).first()
    return None if row is None else StoredService(*row)


async def save(connection: AsyncConnection, services: Sequence[StoredService]) -> None:
    """These services are now like this; those of their names are forgotten."""
    await remove(connection, [row.name for row in services])
    if services:
        await connection.execute(insert(service), [row._asdict() for row in services])


async def remove(connection: AsyncConnection, names: Sequence[str]) -> None:
    """The services are declared no more. What nodes run of them is for `Desired.place` to say."""
    if names:
        await connection.execute(delete(service).where(service.c.name == bindparam("b_name")), _named(names))


# ── what nodes should run ────────────────────────────────────────────────────────────────────────────────────────────
async def find_placed(connection: AsyncConnection, keys: Sequence[NodeKey] | None = None) -> list[Placed]:
    """What is wanted of all nodes, or of those in `keys`."""
    query = _PLACED if keys is None else _PLACED.where(tuple_(_on.gid, _on.nid).in_(keys))
    return [Placed(*row) for row in await connection.execute(query)]


async def find_desired(connection: AsyncConnection, key: NodeKey) -> list[Service]:
    """The services that a node should run, in the order of their names."""
    query = (
        select(service.c.body)
        .join_from(service_on_node, service, service.c.name == _on.name)
        .where(_on.gid == key.gid, _on.nid == key.nid, _on.wanted)
        .order_by(_on.name)
    )
    return list((await connection.execute(query)).scalars())


async def place(connection: AsyncConnection, new: Sequence[Placed], changed: Sequence[Placed], *, now: float) -> None:
    """What is wanted on nodes is now this: new rows, and rows that were others."""
    if new:
        rows = [{**row._asdict(), "status": None, "last_update_time": now} for row in new]
        await connection.execute(insert(service_on_node), rows)
    if changed:
        statement = (
            update(service_on_node)
            .where(_on.name == bindparam("b_name"), _on.gid == bindparam("b_gid"), _on.nid == bindparam("b_nid"))
            .values(
                version=bindparam("b_version"),
                wanted=bindparam("b_wanted"),
                revision=bindparam("b_revision"),
                last_update_time=now,
            )
        )
        await connection.execute(
            statement, [{f"b_{name}": value for name, value in row._asdict().items()} for row in changed]
        )


# ── what agents say ──────────────────────────────────────────────────────────────────────────────────────────────────
async def find_reported(connection: AsyncConnection, keys: Sequence[NodeKey]) -> dict[NodeKey, list[Reported]]:
    """What reports of these nodes are compared with."""
    found: dict[NodeKey, list[Reported]] = {key: [] for key in keys}
    query = select(_on.gid, _on.nid, _on.name, _on.wanted, _on.revision, _on.status)
    placed = await connection.execute(query.where(tuple_(_on.gid, _on.nid).in_(keys)))
    for gid, nid, name, wanted, revision, status in placed:
        found[NodeKey(gid, nid)].append(Reported(name, wanted, revision, status))
    return found


async def set_statuses(
    connection: AsyncConnection, statuses: Sequence[tuple[NodeKey, ServiceStatus]], *, now: float
) -> None:
    """What agents said of services."""
    statement = (
        update(service_on_node)
        .where(_on.name == bindparam("b_name"), _on.gid == bindparam("b_gid"), _on.nid == bindparam("b_nid"))
        .values(status=bindparam("b_status"), last_update_time=now)
    )
    rows = [{"b_name": status.name, "b_gid": key.gid, "b_nid": key.nid, "b_status": status} for key, status in statuses]
    if rows:
        await connection.execute(statement, rows)


async def clear_statuses(connection: AsyncConnection, keys: Sequence[NodeKey]) -> None:
    """The agents of these nodes began anew: nothing is known of their services."""
    if keys:
        await connection.execute(update(service_on_node).where(tuple_(_on.gid, _on.nid).in_(keys)).values(status=None))


async def forget(connection: AsyncConnection, gone: Iterable[tuple[NodeKey, str]]) -> None:
    """These services are gone from their nodes."""
    statement = delete(service_on_node).where(
        _on.name == bindparam("b_name"), _on.gid == bindparam("b_gid"), _on.nid == bindparam("b_nid")
    )
    rows = [{"b_name": name, "b_gid": key.gid, "b_nid": key.nid} for key, name in gone]
    if rows:
        await connection.execute(statement, rows)


async def find_shown(connection: AsyncConnection, *, name: str | None = None) -> list[Shown]:
    """Every service on every node, or one, in the order of names and nodes."""
    query = (
        select(
            _on.name,
            _on.gid,
            _on.nid,
            node.c.name,
            _on.wanted,
            _on.revision,
            _on.status,
            agent.c.state,
            agent.c.seen_at,
        )
        .join_from(service_on_node, node, (node.c.gid == _on.gid) & (node.c.nid == _on.nid))
        .join(agent, agent.c.agent_id == node.c.agent_id)
        .order_by(_on.name, _on.gid, _on.nid)
    )
    if name is not None:
        query = query.where(_on.name == name)
    return [
        Shown(service_name, NodeKey(gid, nid), node_name, wanted, revision, status, agent_state, seen_at)
        for service_name, gid, nid, node_name, wanted, revision, status, agent_state, seen_at in (
            await connection.execute(query)
        )
    ]


def _named(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"b_name": name} for name in names]
