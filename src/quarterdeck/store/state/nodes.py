"""Rows of grids, nodes and their agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import RowMapping, bindparam, case, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import AgentRecord, AgentState, Facts, Node, NodeKey
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.schema import agent, grid, node


class Target(NamedTuple):
    """A node that may be chosen for a command."""

    gid: int
    nid: int
    name: str
    labels: dict[str, str]
    state: AgentState
    seen_at: float

    @property
    def key(self) -> NodeKey:
        """Return the key of the node."""
        return NodeKey(self.gid, self.nid)


class Placing(NamedTuple):
    """The values that decide which modules a node gets, and the current revision of its desired set."""

    key: NodeKey
    name: str
    labels: dict[str, str]
    revision: int


class Link(NamedTuple):
    """The columns that a connection changes, with their earlier values, and those that decide how they change."""

    key: NodeKey
    agent_id: str
    state: AgentState
    name: str
    labels: dict[str, str]
    allowed_labels: tuple[str, ...]
    agent_labels: dict[str, str]
    claimed_labels: dict[str, str]
    facts: Facts
    revision: int
    acted_revision: int
    held_revision: int


_NODES = select(node, agent.c.state, agent.c.seen_at).join_from(node, agent, agent.c.agent_id == node.c.agent_id)


def effective_labels(own: Mapping[str, str], agents: Mapping[str, str]) -> dict[str, str]:
    """Return a node's labels in force: those that its agent may state, overridden by those set on the server."""
    return {**agents, **own}


def _to_node(row: RowMapping) -> Node:
    fields = dict(row)
    said = fields.pop("agent_labels")
    labels = effective_labels(fields.pop("labels"), said)
    claimed = {key: value for key, value in (said | fields.pop("claimed_labels")).items() if labels.get(key) != value}
    del fields["allowed_labels"]
    return Node(labels=labels, claimed_labels=claimed, **fields)


async def find_all(connection: AsyncConnection) -> list[Node]:
    """Return every node, in the order of their numbers."""
    return [_to_node(row) for row in (await connection.execute(_NODES.order_by(node.c.gid, node.c.nid))).mappings()]


async def find_targets(connection: AsyncConnection) -> list[Target]:
    """Return every node with only the columns that a choice among them needs, in the order of their numbers."""
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
    """Return the number of nodes, and how many of them are ONLINE."""
    online = func.count().filter(agent.c.state == AgentState.ONLINE)
    query = select(func.count(), online).select_from(node.join(agent, agent.c.agent_id == node.c.agent_id))
    every, here = (await connection.execute(query)).one()
    return every, here


async def find_named(connection: AsyncConnection, reference: str) -> list[Node]:
    """Return the nodes that `reference` may mean: a name, an nid, or gid/nid."""
    if not reference.isprintable():  # names are printable, and PostgreSQL refuses NUL
        return []
    numbers = [int(part) for part in reference.split("/") if part.isdecimal() and len(part) < 10]
    meanings = [node.c.name == reference]
    if reference.count("/") == 0 and len(numbers) == 1:
        meanings.append(node.c.nid == numbers[0])
    if reference.count("/") == 1 and len(numbers) == 2:
        meanings.append((node.c.gid == numbers[0]) & (node.c.nid == numbers[1]))
    return [_to_node(row) for row in (await connection.execute(_NODES.where(or_(*meanings)))).mappings()]


async def find(connection: AsyncConnection, key: NodeKey) -> Node | None:
    """Return one node by its number."""
    found = await connection.execute(_NODES.where(node.c.gid == key.gid, node.c.nid == key.nid))
    row = found.mappings().one_or_none()
    return None if row is None else _to_node(row)


async def find_placings(connection: AsyncConnection, keys: Sequence[NodeKey] | None = None) -> list[Placing]:
    """Return what decides the modules of all nodes, or of those in `keys`."""
    c = node.c
    query = select(c.gid, c.nid, c.name, c.labels, c.agent_labels, c.revision).order_by(c.gid, c.nid)
    if keys is not None:
        query = query.where(tuple_(c.gid, c.nid).in_(keys))
    return [
        Placing(NodeKey(gid, nid), name, effective_labels(labels, agent_labels), revision)
        for gid, nid, name, labels, agent_labels, revision in await connection.execute(query)
    ]


async def allocate(connection: AsyncConnection, gid: int) -> NodeKey:
    """Allocate a number of this grid that no node ever had."""
    taken = (
        await connection.execute(
            update(grid).where(grid.c.gid == gid).values(next_nid=grid.c.next_nid + 1).returning(grid.c.next_nid)
        )
    ).scalar_one_or_none()
    if taken is not None:
        return NodeKey(gid, taken - 1)
    await connection.execute(insert(grid).values(gid=gid, next_nid=2))
    return NodeKey(gid, 1)


async def reserve(connection: AsyncConnection, keys: Iterable[NodeKey]) -> None:
    """Reserve these numbers, which a node unknown to this state has: they are not given to another node."""
    for key in keys:
        last = (await connection.execute(select(grid.c.next_nid).where(grid.c.gid == key.gid))).scalar_one_or_none()
        if last is None:
            await connection.execute(insert(grid).values(gid=key.gid, next_nid=key.nid + 1))
        elif last <= key.nid:
            await connection.execute(update(grid).where(grid.c.gid == key.gid).values(next_nid=key.nid + 1))


async def add(connection: AsyncConnection, new: Node, *, allowed_labels: tuple[str, ...]) -> None:
    """Add a node; `new.labels` are set on the server, and its agent may state those that `allowed_labels` match."""
    fields = msgspec.structs.asdict(new)
    del fields["state"], fields["seen_at"]
    await connection.execute(insert(node).values(**fields, agent_labels={}, allowed_labels=allowed_labels))


async def replace_agent(connection: AsyncConnection, key: NodeKey, **values: object) -> None:
    """Assign the node to another agent, with these columns; it has acted on no desired set yet."""
    await connection.execute(
        update(node)
        .where(node.c.gid == key.gid, node.c.nid == key.nid)
        .values(agent_labels={}, claimed_labels={}, acted_revision=0, held_revision=0, **values)
    )


async def has_name(connection: AsyncConnection, name: str, *, but: NodeKey | None) -> NodeKey | None:
    """Return the node with this name, other than `but`."""
    query = select(node.c.gid, node.c.nid).where(node.c.name == name)
    found = (NodeKey(gid, nid) for gid, nid in await connection.execute(query))
    return next((key for key in found if key != but), None)


async def set_labels(connection: AsyncConnection, key: NodeKey, labels: Mapping[str, str]) -> None:
    """Replace the labels set on the server."""
    await connection.execute(
        update(node).where(node.c.gid == key.gid, node.c.nid == key.nid).values(labels=dict(labels))
    )


async def labels_of(connection: AsyncConnection, key: NodeKey) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels set on the server, and those that the agent states."""
    query = select(node.c.labels, node.c.agent_labels).where(node.c.gid == key.gid, node.c.nid == key.nid)
    labels, agent_labels = (await connection.execute(query)).one()
    return labels, agent_labels


async def bump_revisions(connection: AsyncConnection, keys: Iterable[NodeKey]) -> None:
    """Increase the revisions of the desired sets of these nodes, which have changed."""
    statement = (
        update(node)
        .where(node.c.gid == bindparam("b_gid"), node.c.nid == bindparam("b_nid"))
        .values(revision=node.c.revision + 1)
    )
    await connection.execute(statement, [{"b_gid": key.gid, "b_nid": key.nid} for key in keys])


async def revision_of(connection: AsyncConnection, key: NodeKey) -> int | None:
    """Return the revision of a node's desired set, or None for an unknown node."""
    query = select(node.c.revision).where(node.c.gid == key.gid, node.c.nid == key.nid)
    return (await connection.execute(query)).scalar_one_or_none()


async def holds(connection: AsyncConnection, key: NodeKey) -> bool:
    """Return whether the node's agent keeps a later desired set than this state knows of."""
    query = select(node.c.held_revision).where(node.c.gid == key.gid, node.c.nid == key.nid)
    return bool((await connection.execute(query)).scalar_one_or_none())


async def end_hold(connection: AsyncConnection, key: NodeKey) -> None:
    """Let the node's next set be this state's, with a revision later than the one that its agent has."""
    last = case((node.c.held_revision > node.c.revision, node.c.held_revision), else_=node.c.revision)
    await connection.execute(
        update(node).where(node.c.gid == key.gid, node.c.nid == key.nid).values(revision=last + 1, held_revision=0)
    )


async def set_acted(connection: AsyncConnection, acted: Mapping[NodeKey, int]) -> None:
    """Store the revisions that nodes have acted on."""
    statement = (
        update(node)
        .where(node.c.gid == bindparam("b_gid"), node.c.nid == bindparam("b_nid"))
        .values(acted_revision=bindparam("b_acted"))
    )
    rows = [{"b_gid": key.gid, "b_nid": key.nid, "b_acted": revision} for key, revision in acted.items()]
    if rows:
        await connection.execute(statement, rows)


async def remove(connection: AsyncConnection, key: NodeKey) -> None:
    """Remove the node and its instances; its agents stay, so that they are refused."""
    await connection.execute(delete(node).where(node.c.gid == key.gid, node.c.nid == key.nid))


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def add_agent(connection: AsyncConnection, new: AgentRecord, *, seen_at: float) -> None:
    """Add an agent."""
    await connection.execute(insert(agent).values(**msgspec.structs.asdict(new), seen_at=seen_at))


async def find_agents(connection: AsyncConnection) -> list[AgentRecord]:
    """Return every agent that ever existed, the newest last."""
    columns = [agent.c[name] for name in AgentRecord.__struct_fields__]
    rows = await connection.execute(select(*columns).order_by(agent.c.create_time, agent.c.agent_id))
    return [AgentRecord(**row) for row in rows.mappings()]


async def find_links(connection: AsyncConnection, agent_ids: Sequence[str]) -> dict[str, Link]:
    """Return those of these agents that represent a node now, by agent id."""
    c = node.c
    columns = (agent.c.state if name == "state" else c[name] for name in Link._fields[1:])
    query = (
        select(c.gid, c.nid, *columns)
        .join_from(node, agent, agent.c.agent_id == c.agent_id)
        .where(c.agent_id.in_(agent_ids))
    )
    rows = (dict(row) for row in (await connection.execute(query)).mappings())
    links = (Link(key=NodeKey(row.pop("gid"), row.pop("nid")), **row) for row in rows)
    return {link.agent_id: link for link in links}


async def find_terminated(connection: AsyncConnection, agent_ids: Iterable[str]) -> set[str]:
    """Return those of these agents that are recorded as terminated."""
    query = select(agent.c.agent_id).where(
        agent.c.agent_id.in_(list(agent_ids)), agent.c.state == AgentState.TERMINATED
    )
    return set((await connection.execute(query)).scalars())


_SAID = ("agent_labels", "claimed_labels", "facts", "acted_revision", "held_revision")


async def set_links(connection: AsyncConnection, links: Sequence[Link]) -> None:
    """Save the changes that connections made to their nodes."""
    statement = (
        update(node)
        .where(node.c.agent_id == bindparam("b_agent_id"))
        .values({name: bindparam(f"b_{name}") for name in _SAID})
    )
    rows = [{f"b_{name}": getattr(link, name) for name in ("agent_id", *_SAID)} for link in links]
    if rows:
        await connection.execute(statement, rows)


async def set_state(
    connection: AsyncConnection, agent_ids: Sequence[str], state: AgentState, *, now: float
) -> list[NodeKey]:
    """Move agents that are in another state (and not TERMINATED) into `state`; return the nodes of those that moved."""
    statement = (
        update(agent)
        .where(agent.c.agent_id.in_(agent_ids), agent.c.state.not_in([state, AgentState.TERMINATED]))
        .values(state=state, last_update_time=now)
        .returning(agent.c.gid, agent.c.nid)
    )
    return [NodeKey(gid, nid) for gid, nid in await connection.execute(statement)]


async def set_versions(connection: AsyncConnection, versions: Mapping[str, str]) -> None:
    """Store the versions that agents reported, by agent id."""
    statement = update(agent).where(agent.c.agent_id == bindparam("b_id")).values(version=bindparam("b_version"))
    rows = [{"b_id": agent_id, "b_version": version} for agent_id, version in versions.items()]
    if rows:
        await connection.execute(statement, rows)


async def set_linked(connection: AsyncConnection, agent_ids: Sequence[str], *, server: str, now: float) -> None:
    """Record that these agents connected to this server just now."""
    statement = update(agent).where(agent.c.agent_id.in_(agent_ids)).values(server=server, seen_at=now)
    await connection.execute(statement)


async def set_seen(connection: AsyncConnection, agent_ids: Sequence[str], *, now: float) -> None:
    """Record that these agents were heard now."""
    await connection.execute(update(agent).where(agent.c.agent_id.in_(agent_ids)).values(seen_at=now))


async def linked_to(connection: AsyncConnection, agent_ids: Sequence[str], *, server: str) -> list[str]:
    """Return those of these agents whose last link was one to this server."""
    query = select(agent.c.agent_id).where(agent.c.agent_id.in_(agent_ids), agent.c.server == server)
    return list((await connection.execute(query)).scalars())


async def set_server_offline(connection: AsyncConnection, server: str, *, now: float) -> None:
    """Move the agents of this server that are ONLINE to OFFLINE; those of no server too, as of an earlier release."""
    await connection.execute(
        update(agent)
        .where(agent.c.state == AgentState.ONLINE, agent.c.server.in_([server, ""]))
        .values(state=AgentState.OFFLINE, last_update_time=now)
    )


async def set_silent_offline(connection: AsyncConnection, *, seen_before: float, now: float) -> list[NodeKey]:
    """Set ONLINE agents not heard since `seen_before` to OFFLINE; return their nodes."""
    statement = (
        update(agent)
        .where(agent.c.state == AgentState.ONLINE, agent.c.seen_at < seen_before)
        .values(state=AgentState.OFFLINE, last_update_time=now)
        .returning(agent.c.gid, agent.c.nid)
    )
    return [NodeKey(gid, nid) for gid, nid in await connection.execute(statement)]


async def has_silent(connection: AsyncConnection, *, seen_before: float) -> bool:
    """Return whether an ONLINE agent was not heard since `seen_before`."""
    query = select(agent.c.agent_id).where(agent.c.state == AgentState.ONLINE, agent.c.seen_at < seen_before).limit(1)
    return (await connection.execute(query)).first() is not None


async def set_certificate(connection: AsyncConnection, agent_id: str, *, serial: str, expires: float) -> None:
    """Record the certificate that the agent was given last."""
    await connection.execute(
        update(agent).where(agent.c.agent_id == agent_id).values(certificate_serial=serial, certificate_expires=expires)
    )
