"""Rows of module instances: what each node should run, and what its agent said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import RowMapping, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Instance, InstanceState, InstanceStats, InstanceStatus, ModuleState
from quarterdeck.model.nodes import AgentState, NodeKey
from quarterdeck.store.state.schema import agent, instance, module, node


class Wanted(NamedTuple):
    """What is wanted of a module on a node. The names are those of the table's columns."""

    id: str
    module_id: str
    gid: int
    nid: int
    digest: str
    settings: dict[str, SettingValue]
    desire_state: ModuleState
    revision: int

    @property
    def key(self) -> NodeKey:
        """The node it is on."""
        return NodeKey(self.gid, self.nid)


class Reported(NamedTuple):
    """What an instance is measured by when its agent reports."""

    id: str
    key: NodeKey
    desire_state: ModuleState
    revision: int
    status: InstanceStatus | None


class Shown(NamedTuple):
    """An instance as it is shown, with what decides how its status is to be read."""

    instance: Instance  #: its `status` is the one last reported, or an INIT of revision 0
    revision: int
    agent_state: AgentState
    seen_at: float


_WANTED = select(*(instance.c[name] for name in Wanted._fields))


async def find_wanted(
    connection: AsyncConnection, *, keys: Sequence[NodeKey] | None = None, module_id: str | None = None
) -> list[Wanted]:
    """The instances of all nodes or those in `keys`, and of all modules or one."""
    query = _WANTED
    if keys is not None:
        query = query.where(tuple_(instance.c.gid, instance.c.nid).in_(keys))
    if module_id is not None:
        query = query.where(instance.c.module_id == module_id)
    return [Wanted(*row) for row in await connection.execute(query)]


async def find_desired(connection: AsyncConnection, key: NodeKey) -> list[Wanted]:
    """The instances that a node should run, always in the same order."""
    query = _WANTED.where(
        instance.c.gid == key.gid, instance.c.nid == key.nid, instance.c.desire_state == ModuleState.DEPLOYED
    )
    return [Wanted(*row) for row in await connection.execute(query.order_by(instance.c.create_time, instance.c.id))]


async def add(connection: AsyncConnection, new: Sequence[Wanted], *, now: float) -> None:
    """New instances."""
    rows = [
        {**row._asdict(), "status": None, "stats": None, "create_time": now, "last_update_time": now} for row in new
    ]
    if rows:
        await connection.execute(insert(instance), rows)


async def change(connection: AsyncConnection, changed: Sequence[Wanted], *, now: float) -> None:
    """What is wanted of these instances is now this."""
    statement = (
        update(instance)
        .where(instance.c.id == bindparam("b_id"))
        .values(
            digest=bindparam("b_digest"),
            settings=bindparam("b_settings"),
            desire_state=bindparam("b_desire_state"),
            revision=bindparam("b_revision"),
            last_update_time=now,
        )
    )
    rows = [{f"b_{name}": value for name, value in row._asdict().items()} for row in changed]
    if rows:
        await connection.execute(statement, [{k: row[k] for k in _CHANGED} for row in rows])


_CHANGED = ("b_id", "b_digest", "b_settings", "b_desire_state", "b_revision")


async def find_reported(connection: AsyncConnection, keys: Sequence[NodeKey]) -> dict[NodeKey, list[Reported]]:
    """What reports of these nodes are compared with."""
    c = instance.c
    query = select(c.id, c.gid, c.nid, c.desire_state, c.revision, c.status).where(tuple_(c.gid, c.nid).in_(keys))
    found: dict[NodeKey, list[Reported]] = {key: [] for key in keys}
    for instance_id, gid, nid, desire_state, revision, status in await connection.execute(query):
        key = NodeKey(gid, nid)
        found[key].append(Reported(instance_id, key, desire_state, revision, status))
    return found


async def set_statuses(connection: AsyncConnection, statuses: Sequence[InstanceStatus], *, now: float) -> None:
    """What agents said of instances."""
    statement = (
        update(instance)
        .where(instance.c.id == bindparam("b_id"))
        .values(status=bindparam("b_status"), last_update_time=now)
    )
    rows = [{"b_id": status.instance_id, "b_status": status} for status in statuses]
    if rows:
        await connection.execute(statement, rows)


async def clear_statuses(connection: AsyncConnection, keys: Sequence[NodeKey]) -> None:
    """The agents of these nodes began anew: nothing is known of their instances."""
    if keys:
        await connection.execute(
            update(instance).where(tuple_(instance.c.gid, instance.c.nid).in_(keys)).values(status=None)
        )


async def set_stats(connection: AsyncConnection, stats: Mapping[str, tuple[NodeKey, InstanceStats]]) -> None:
    """What instances have cost, by instance id; only the node it runs on may say so."""
    statement = (
        update(instance)
        .where(
            instance.c.id == bindparam("b_id"),
            instance.c.gid == bindparam("b_gid"),
            instance.c.nid == bindparam("b_nid"),
        )
        .values(stats=bindparam("b_stats"))
    )
    rows = [
        {"b_id": instance_id, "b_gid": key.gid, "b_nid": key.nid, "b_stats": counted}
        for instance_id, (key, counted) in stats.items()
    ]
    if rows:
        await connection.execute(statement, rows)


async def remove(connection: AsyncConnection, instance_ids: Iterable[str]) -> None:
    """These instances are gone from their nodes."""
    rows = [{"b_id": instance_id} for instance_id in instance_ids]
    if rows:
        await connection.execute(delete(instance).where(instance.c.id == bindparam("b_id")), rows)


async def find_offline(connection: AsyncConnection, module_ids: Sequence[str]) -> list[str]:
    """The names of the nodes that should run one of these modules and whose agents are not ONLINE."""
    query = (
        select(node.c.name)
        .distinct()
        .join_from(instance, node, (node.c.gid == instance.c.gid) & (node.c.nid == instance.c.nid))
        .join(agent, agent.c.agent_id == node.c.agent_id)
        .where(instance.c.module_id.in_(module_ids), instance.c.desire_state == ModuleState.DEPLOYED)
        .where(agent.c.state != AgentState.ONLINE)
        .order_by(node.c.name)
    )
    return list((await connection.execute(query)).scalars())


async def find_shown(connection: AsyncConnection, *, module_id: str | None = None) -> list[Shown]:
    """Every instance, or those of one module, in the order of module and node."""
    c = instance.c
    query = (
        select(
            *(c[name] for name in _SHOWN),
            module.c.name.label("module_name"),
            node.c.name.label("node_name"),
            node.c.agent_id,
            agent.c.state,
            agent.c.seen_at,
        )
        .join_from(instance, module, module.c.id == c.module_id)
        .join(node, (node.c.gid == c.gid) & (node.c.nid == c.nid))
        .join(agent, agent.c.agent_id == node.c.agent_id)
        .order_by(module.c.name, c.gid, c.nid)
    )
    if module_id is not None:
        query = query.where(c.module_id == module_id)
    return [_to_shown(row) for row in (await connection.execute(query)).mappings()]


_SHOWN = (
    "id", "module_id", "gid", "nid", "desire_state", "revision", "status", "stats", "create_time", "last_update_time"
)  # fmt: skip


def _to_shown(row: RowMapping) -> Shown:
    fields = dict(row)
    revision, agent_state, seen_at = fields.pop("revision"), fields.pop("state"), fields.pop("seen_at")
    if fields["status"] is None:
        fields["status"] = InstanceStatus(instance_id=fields["id"], state=InstanceState.INIT, revision=0)
    return Shown(Instance(**fields), revision, agent_state, seen_at)
