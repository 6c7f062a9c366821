"""Rows of grids, nodes and their agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import RowMapping, bindparam, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import AgentRecord, AgentState, Facts, Node, NodeKey
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.schema import agent, grid, node


class Target(NamedTuple):
    """A node that may be asked for something."""

    gid: int
    nid: int
    name: str
    labels: dict[str, str]
    state: AgentState
    seen_at: float

    @property
    def key(self) -> NodeKey:
        """Which node."""
        return NodeKey(self.gid, self.nid)


class Placing(NamedTuple):
    """What decides which modules a node gets, and the revision its desired set has now."""

    key: NodeKey
    name: str
    labels: dict[str, str]
    revision: int


class Link(NamedTuple):
    """What a connection changes of a node, as it was before."""

    key: NodeKey
    agent_id: str
    state: AgentState
    agent_labels: dict[str, str]
    facts: Facts
    revision: int
    acted_revision: int


_NODES = select(node, agent.c.state, agent.c.seen_at).join_from(node, agent, agent.c.agent_id == node.c.agent_id)


def effective_labels(own: Mapping[str, str], agents: Mapping[str, str]) -> dict[str, str]:
    """A node's labels: those set here, and over them those of the agent's own configuration."""
    return {**own, **agents}


def _to_node(row: RowMapping) -> Node:
    fields = dict(row)
    labels = effective_labels(fields.pop("labels"), fields.pop("agent_labels"))
    return Node(labels=labels, **fields)


async def find_all(connection: AsyncConnection) -> list[Node]:
    """Every node, in the order of their numbers."""
    return [_to_node(row) for row in (await connection.execute(_NODES.order_by(node.c.gid, node.c.nid))).mappings()]


async def find_targets(connection: AsyncConnection) -> list[Target]:
    """Every node with no more than a choice among them needs, in the order of their numbers."""
    return [
        Target(gid, nid, name, effective_labels(labels, agent_labels), state, seen_at)
        for gid, nid, name, labels, agent_labels, state, seen_at in await _TARGETS.find(connection, {})
    ]


_TARGETS = Direct(
    select(
        node.c.gid,
        node.c.nid,
        node.c.name,
        node.c.labels,
        node.c.agent_labels,
        agent.c.state,
        agent.c.seen_at,
    )
    .join_from(node, agent, agent.c.agent_id == node.c.agent_id)
    .order_by(node.c.gid, node.c.nid)
)


async def count(connection: AsyncConnection) -> tuple[int, int]:
    """How many nodes there are, and how many of them are ONLINE."""
    online = func.count().filter(agent.c.state == AgentState.ONLINE)
    query = select(func.count(), online).select_from(node.join(agent, agent.c.agent_id == node.c.agent_id))
    every, here = (await connection.execute(query)).one()
    return every, here


async def find_named(connection: AsyncConnection, reference: str) -> list[Node]:
    """The nodes that `reference` may mean: a name, an nid, or gid/nid."""
    if not reference.isprintable():  # no name is; and PostgreSQL takes no NUL
        return []
    numbers = [int(part) for part in reference.split("/") if part.isdecimal() and len(part) < 10]
    meanings = [node.c.name == reference]
    if reference.count("/") == 0 and len(numbers) == 1:
        meanings.append(node.c.nid == numbers[0])
    if reference.count("/") == 1 and len(numbers) == 2:
        meanings.append((node.c.gid == numbers[0]) & (node.c.nid == numbers[1]))
    return [_to_node(row) for row in (await connection.execute(_NODES.where(or_(*meanings)))).mappings()]


async def find(connection: AsyncConnection, key: NodeKey) -> Node | None:
    """One node by its number."""
    found = await connection.execute(_NODES.where(node.c.gid == key.gid, node.c.nid == key.nid))
    row = found.mappings().one_or_none()
    return None if row is None else _to_node(row)


async def find_placings(connection: AsyncConnection, keys: Sequence[NodeKey] | None = None) -> list[Placing]:
    """What decides the modules of all nodes, or of those in `keys`."""
    c = node.c
    query = select(c.gid, c.nid, c.name, c.labels, c.agent_labels, c.revision).order_by(c.gid, c.nid)
    if keys is not None:
        query = query.where(tuple_(c.gid, c.nid).in_(keys))
    return [
        Placing(NodeKey(gid, nid), name, effective_labels(labels, agent_labels), revision)
        for gid, nid, name, labels, agent_labels, revision in await connection.execute(query)
    ]


async def allocate(connection: AsyncConnection, gid: int) -> NodeKey:
    """A number of this grid that no node ever had."""
    taken = (
        await connection.execute(
            update(grid).where(grid.c.gid == gid).values(next_nid=grid.c.next_nid + 1).returning(grid.c.next_nid)
        )
    ).scalar_one_or_none()
    if taken is not None:
        return NodeKey(gid, taken - 1)
    await connection.execute(insert(grid).values(gid=gid, next_nid=2))
    return NodeKey(gid, 1)


async def add(connection: AsyncConnection, new: Node, *, agent_labels: Mapping[str, str]) -> None:
    """A new node; `new.labels` are those set here."""
    fields = msgspec.structs.asdict(new)
    del fields["state"], fields["seen_at"]
    await connection.execute(insert(node).values(**fields, agent_labels=dict(agent_labels)))


async def replace_agent(
    connection: AsyncConnection, key: NodeKey, *, agent_id: str, name: str, facts: Facts, labels: Mapping[str, str]
) -> None:
    """Another agent takes the node's place; it has acted on nothing yet."""
    await connection.execute(
        update(node)
        .where(node.c.gid == key.gid, node.c.nid == key.nid)
        .values(agent_id=agent_id, name=name, facts=facts, agent_labels=dict(labels), acted_revision=0)
    )


async def set_labels(connection: AsyncConnection, key: NodeKey, labels: Mapping[str, str]) -> None:
    """Replaces the labels set here."""
    await connection.execute(
        update(node).where(node.c.gid == key.gid, node.c.nid == key.nid).values(labels=dict(labels))
    )


async def labels_of(connection: AsyncConnection, key: NodeKey) -> tuple[dict[str, str], dict[str, str]]:
    """The labels set here, and the agent's own."""
    query = select(node.c.labels, node.c.agent_labels).where(node.c.gid == key.gid, node.c.nid == key.nid)
    labels, agent_labels = (await connection.execute(query)).one()
    return labels, agent_labels


async def bump_revisions(connection: AsyncConnection, keys: Iterable[NodeKey]) -> None:
    """The desired sets of these nodes are others than before."""
    statement = (
        update(node)
        .where(node.c.gid == bindparam("b_gid"), node.c.nid == bindparam("b_nid"))
        .values(revision=node.c.revision + 1)
    )
    await connection.execute(statement, [{"b_gid": key.gid, "b_nid": key.nid} for key in keys])


async def revision_of(connection: AsyncConnection, key: NodeKey) -> int | None:
    """The revision of a node's desired set, or None: there is no such node."""
    query = select(node.c.revision).where(node.c.gid == key.gid, node.c.nid == key.nid)
    return (await connection.execute(query)).scalar_one_or_none()


async def set_acted(connection: AsyncConnection, acted: Mapping[NodeKey, int]) -> None:
    """The revisions that nodes have acted on."""
    statement = (
        update(node)
        .where(node.c.gid == bindparam("b_gid"), node.c.nid == bindparam("b_nid"))
        .values(acted_revision=bindparam("b_acted"))
    )
    rows = [{"b_gid": key.gid, "b_nid": key.nid, "b_acted": revision} for key, revision in acted.items()]
    if rows:
        await connection.execute(statement, rows)


async def remove(connection: AsyncConnection, key: NodeKey) -> None:
    """The node and its instances are gone; its agents stay, to be refused."""
    await connection.execute(delete(node).where(node.c.gid == key.gid, node.c.nid == key.nid))


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def add_agent(connection: AsyncConnection, new: AgentRecord, *, seen_at: float) -> None:
    """A new agent."""
    await connection.execute(insert(agent).values(**msgspec.structs.asdict(new), seen_at=seen_at))


async def find_agents(connection: AsyncConnection) -> list[AgentRecord]:
    """Every agent there ever was, the newest last."""
    columns = [agent.c[name] for name in AgentRecord.__struct_fields__]
    rows = await connection.execute(select(*columns).order_by(agent.c.create_time, agent.c.agent_id))
    return [AgentRecord(**row) for row in rows.mappings()]


async def find_links(connection: AsyncConnection, agent_ids: Sequence[str]) -> dict[str, Link]:
    """The agents among `agent_ids` that stand for a node now."""
    c = node.c
    query = (
        select(c.gid, c.nid, c.agent_id, agent.c.state, c.agent_labels, c.facts, c.revision, c.acted_revision)
        .join_from(node, agent, agent.c.agent_id == c.agent_id)
        .where(c.agent_id.in_(agent_ids))
    )
    return {
        agent_id: Link(NodeKey(gid, nid), agent_id, state, labels, facts, revision, acted)
        for gid, nid, agent_id, state, labels, facts, revision, acted in await connection.execute(query)
    }


async def set_links(connection: AsyncConnection, links: Sequence[Link]) -> None:
    """What connections changed of their nodes."""
    statement = (
        update(node)
        .where(node.c.agent_id == bindparam("b_agent_id"))
        .values(
            agent_labels=bindparam("b_labels"), facts=bindparam("b_facts"), acted_revision=bindparam("b_acted_revision")
        )
    )
    rows = [
        {
            "b_agent_id": link.agent_id,
            "b_labels": link.agent_labels,
            "b_facts": link.facts,
            "b_acted_revision": link.acted_revision,
        }
        for link in links
    ]
    if rows:
        await connection.execute(statement, rows)


async def set_state(
    connection: AsyncConnection, agent_ids: Sequence[str], state: AgentState, *, now: float
) -> list[NodeKey]:
    """Moves agents that are not yet there (nor TERMINATED) into `state`; which nodes' agents moved."""
    statement = (
        update(agent)
        .where(agent.c.agent_id.in_(agent_ids), agent.c.state.not_in([state, AgentState.TERMINATED]))
        .values(state=state, last_update_time=now)
        .returning(agent.c.gid, agent.c.nid)
    )
    return [NodeKey(gid, nid) for gid, nid in await connection.execute(statement)]


async def set_versions(connection: AsyncConnection, versions: Mapping[str, str]) -> None:
    """The versions that agents say they are, by agent id."""
    statement = update(agent).where(agent.c.agent_id == bindparam("b_id")).values(version=bindparam("b_version"))
    rows = [{"b_id": agent_id, "b_version": version} for agent_id, version in versions.items()]
    if rows:
        await connection.execute(statement, rows)


async def set_seen(connection: AsyncConnection, agent_ids: Sequence[str], *, now: float) -> None:
    """These agents spoke just now."""
    await connection.execute(update(agent).where(agent.c.agent_id.in_(agent_ids)).values(seen_at=now))


async def set_silent_offline(connection: AsyncConnection, *, seen_before: float, now: float) -> list[NodeKey]:
    """Agents that are ONLINE and were not heard since `seen_before` become OFFLINE; which nodes they are."""
    statement = (
        update(agent)
        .where(agent.c.state == AgentState.ONLINE, agent.c.seen_at < seen_before)
        .values(state=AgentState.OFFLINE, last_update_time=now)
        .returning(agent.c.gid, agent.c.nid)
    )
    return [NodeKey(gid, nid) for gid, nid in await connection.execute(statement)]


async def has_silent(connection: AsyncConnection, *, seen_before: float) -> bool:
    """Whether an agent is ONLINE that was not heard since `seen_before`."""
    query = select(agent.c.agent_id).where(agent.c.state == AgentState.ONLINE, agent.c.seen_at < seen_before).limit(1)
    return (await connection.execute(query)).first() is not None


async def set_certificate(connection: AsyncConnection, agent_id: str, *, serial: str, expires: float) -> None:
    """The certificate an agent was given last."""
    await connection.execute(
        update(agent).where(agent.c.agent_id == agent_id).values(certificate_serial=serial, certificate_expires=expires)
    )
