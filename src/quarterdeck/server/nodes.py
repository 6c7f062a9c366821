"""Nodes and agents: their states, names and labels, and their removal. Nodes are created in `joins.py`.

Owns the states of agents (`AGENT_TRANSITIONS`): ONLINE while connected and heard from, OFFLINE when the link ended or
was silent for too long, TERMINATED permanently when the node was removed or another agent replaced it. It never decides
what a node runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import Hello, Welcome
from quarterdeck.model.errors import Conflict, QuarterdeckError, Revoked, Unavailable, UnknownNode
from quarterdeck.model.nodes import AgentIdentity, AgentRecord, AgentState, Facts, Node, NodeKey, Selector
from quarterdeck.server import labels
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.names import check_facts, check_labels, check_selectable
from quarterdeck.server.placement.placements import DESIRED_SETS, Placements
from quarterdeck.server.selection import find_one, meant
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.signals import Signals
from quarterdeck.store.state import nodes as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.nodes import Link

log = logging.getLogger(__name__)

NodeList = list[Node]
AgentList = list[AgentRecord]

#: heartbeats that may be missed before an agent counts as silent
HEARTBEATS = 3
#: the highest revision of a desired set that is accepted from an agent; changes get later ones
REVISION_LIMIT = 1_000_000_000


class _Greeting(NamedTuple):
    """The messages to an agent that connected; empty for one that disconnected."""

    error: QuarterdeckError | None = None  #: the reason why it is refused
    notices: Sequence[str] = ()


class _Presence(NamedTuple):
    """A connect of an agent (with its Hello) or a disconnect (without)."""

    agent: AgentIdentity
    hello: Hello | None


class Nodes:
    """Lists, labels and removes nodes, and tracks whether their agents are online.

    `server` names this server among those that share the state store.
    """

    def __init__(
        self,
        database: Database,
        *,
        placements: Placements,
        links: Links,
        signals: Signals,
        ledger: Ledger,
        offline_after_s: float,
        server: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._placements = placements
        self._links = links
        self._signals = signals
        self._ledger = ledger
        self._offline_after_s = offline_after_s
        self._server = server
        self._clock = clock
        self._presence = Coalescer[_Presence, _Greeting](self._store_presence)

    # ── requests of users ────────────────────────────────────────────────────────────────────────────────────────────
    async def list(self, selector: Selector | None = None) -> NodeList:
        """Return the nodes that `selector` matches; by default all. Raise `NoSuchNodes` if it names a missing one."""
        async with self._database.read() as transaction:
            found = await rows.find_all(transaction)
        return meant(found, selector or Selector())

    async def show(self, reference: str) -> Node:
        """Return a node by name, nid or gid/nid. Raise `NotFound`, or `Conflict` when more than one matches."""
        async with self._database.read() as transaction:
            return await find_one(transaction, reference)

    async def count(self) -> tuple[int, int]:
        """Return the number of nodes, and how many of them are ONLINE."""
        async with self._database.read() as transaction:
            return await rows.count(transaction)

    async def agents(self) -> AgentList:
        """Return all agents, including TERMINATED ones."""
        async with self._database.read() as transaction:
            return await rows.find_agents(transaction)

    async def label(self, reference: str, changes: Mapping[str, str | None]) -> Node:
        """Set labels (None removes one), and place what is declared for nodes with the labels that it has now."""
        async with self._database.write() as transaction:
            node = await find_one(transaction, reference)
            own, agents = await rows.labels_of(transaction, node.key)
            gone = {name for name, value in changes.items() if value is None}
            fixed = sorted(gone & agents.keys() - own.keys())
            if fixed:
                raise Conflict(
                    f"The label '{fixed[0]}' of {node.name} is set by its agent's own configuration.",
                    hint="Remove it there (`qd agent --label`, [agent.labels]), or set another value here.",
                )
            kept = {name: value for name, value in own.items() if name not in changes}
            own = check_labels(kept | check_selectable({k: v for k, v in changes.items() if v is not None}))
            await rows.set_labels(transaction, node.key, own)
            touched = await self._placements.place(transaction, keys=[node.key])
            node = await find_one(transaction, str(node.key))
        self._signals.send(DESIRED_SETS, touched)
        return node

    async def sync(self, reference: str) -> Node:
        """Send this state's desired set to the node, though its agent has a later one, from a lost state."""
        async with self._database.write() as transaction:
            node = await find_one(transaction, reference)
            if node.held_revision:
                await rows.end_hold(transaction, node.key)
                node = await find_one(transaction, str(node.key))
        self._signals.send(DESIRED_SETS, [node.key])
        return node

    async def remove(self, reference: str) -> None:
        """Remove a node: terminate its agent, revoke its certificate, end its session, set its jobs to LOST."""
        async with self._database.write() as transaction:
            node = await find_one(transaction, reference)
            await rows.set_state(transaction, [node.agent_id], AgentState.TERMINATED, now=self._clock())
            await rows.remove(transaction, node.key)
            told = await self._ledger.end_node(transaction, node.key, reason="The node was removed.")
        self._ledger.tell(told)
        self._placements.forget(node.key)
        await self._links.cut(node.agent_id, Revoked())

    # ── reports of agents ────────────────────────────────────────────────────────────────────────────────────────────
    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        """Record that an agent connected, and the facts and labels in its Hello.

        Raise `Revoked` when a removal is recorded, and `UnknownNode` when the state has no record of the node.
        """
        check_labels(hello.labels)
        check_facts(hello.facts)
        greeting = await self._presence(_Presence(agent, hello))
        if greeting.error is not None:
            log.warning("refused agent %s of node %d/%d: %s", agent.agent_id, agent.gid, agent.nid, greeting.error)
            raise greeting.error
        return Welcome(
            notices=tuple(greeting.notices),
            gid=agent.gid,
            nid=agent.nid,
            heartbeat_s=self._offline_after_s / HEARTBEATS,
            server_time=self._clock(),
        )

    async def disconnected(self, agent: AgentIdentity) -> None:
        """Record that the agent's link ended."""
        self._placements.forget(agent.key)
        await self._presence(_Presence(agent, None))

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        """Record that these agents were heard just now; those that were silent become ONLINE again."""
        agent_ids = [agent.agent_id for agent in agents]
        now = self._clock()
        async with self._database.write() as transaction:
            ours = await rows.linked_to(
                transaction, agent_ids, server=self._server
            )  # others have connected to another server
            await rows.set_seen(transaction, ours, now=now)
            await rows.set_state(transaction, ours, AgentState.ONLINE, now=now)

    async def changed(self, agent: AgentIdentity, facts: Facts) -> None:
        """Store the changed facts of the agent's host."""
        check_facts(facts)
        async with self._database.write() as transaction:
            link = (await rows.find_links(transaction, [agent.agent_id])).get(agent.agent_id)
            if link is not None:
                await rows.set_links(transaction, [link._replace(facts=facts)])

    # ── silent agents ────────────────────────────────────────────────────────────────────────────────────────────────
    async def set_all_offline(self) -> None:
        """Set the agents of this server OFFLINE when it starts; each becomes ONLINE again when it connects."""
        async with self._database.write() as transaction:
            await rows.set_server_offline(transaction, self._server, now=self._clock())

    async def watch(self) -> None:
        """Run until cancelled: set agents OFFLINE that were silent for too long."""
        while True:
            await asyncio.sleep(self._offline_after_s / HEARTBEATS)
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("the states of silent agents cannot be stored now: %s", error)
            except Exception:
                log.exception("looking for silent agents failed; it will be retried")

    async def sweep(self) -> None:
        """Set agents OFFLINE that were silent for too long."""
        now = self._clock()
        seen_before = now - self._offline_after_s
        async with self._database.read() as transaction:  # usually none is silent, and nothing is written
            silent = await rows.has_silent(transaction, seen_before=seen_before)
        if silent:
            async with self._database.write() as transaction:
                keys = await rows.set_silent_offline(transaction, seen_before=seen_before, now=now)
            log.info("%d agents fell silent", len(keys))

    async def _store_presence(self, changes: Sequence[_Presence]) -> Sequence[_Greeting]:
        now = self._clock()
        async with self._database.write() as transaction:
            links = await rows.find_links(transaction, [change.agent.agent_id for change in changes])
            came = {change.agent.agent_id: change.hello for change in changes if change.hello is not None}
            last = {change.agent.agent_id: change.hello is not None for change in changes}
            here = [agent_id for agent_id, online in last.items() if online and agent_id in links]
            left = [agent_id for agent_id, online in last.items() if not online and agent_id in links]
            await rows.set_linked(transaction, [*came], server=self._server, now=now)
            gone = await rows.linked_to(transaction, left, server=self._server)  # others are linked to another server
            await rows.set_state(transaction, here, AgentState.ONLINE, now=now)
            await rows.set_state(transaction, gone, AgentState.OFFLINE, now=now)
            touched = await self._greet(transaction, {i: (links[i], hello) for i, hello in came.items() if i in links})
            strangers = [change.agent for change in changes if change.agent.agent_id not in links]
            refusals = await why_refused(transaction, strangers)
        self._signals.send(DESIRED_SETS, touched)
        return [_greeting(change, links=links, refusals=refusals) for change in changes]

    async def _greet(self, transaction: AsyncConnection, came: Mapping[str, tuple[Link, Hello]]) -> set[NodeKey]:
        """Store the contents of the Hellos; return the nodes whose desired sets changed with their labels."""
        said: list[Link] = []
        relabelled: list[NodeKey] = []
        versions: dict[str, str] = {}
        for agent_id, (link, hello) in came.items():
            now = _told(link, hello)
            if now != link:
                said.append(now)
            if now.agent_labels != link.agent_labels:
                relabelled.append(link.key)
            if hello.facts.agent_version != link.facts.agent_version:
                versions[agent_id] = hello.facts.agent_version
        await rows.set_links(transaction, said)
        await rows.set_versions(transaction, versions)
        # reports over an earlier connection may be of a process that has ended; the agent sends all of them again
        keys = [link.key for link, _ in came.values()]
        await self._placements.began_anew(transaction, keys)
        return await self._placements.place(transaction, keys=relabelled) if relabelled else set()


def _told(link: Link, hello: Hello) -> Link:
    """Return the node as its agent describes it."""
    claims = labels.weigh(hello.labels, link.allowed_labels)
    held = min(max(hello.held_revision, hello.acted_revision), REVISION_LIMIT)
    # later than any that was sent here: a lost state sent it, of which this one is an older copy
    kept = held > link.revision or 0 < link.held_revision <= held
    return link._replace(
        agent_labels=claims.allowed,
        claimed_labels=claims.others,
        facts=hello.facts,
        acted_revision=hello.acted_revision if 0 <= hello.acted_revision <= link.revision else 0,
        held_revision=held if kept else 0,
    )


def _greeting(change: _Presence, *, links: Mapping[str, Link], refusals: Mapping[str, QuarterdeckError]) -> _Greeting:
    link, hello = links.get(change.agent.agent_id), change.hello
    if link is None:
        return _Greeting(error=refusals[change.agent.agent_id])
    if hello is None:
        return _Greeting()
    now = _told(link, hello)
    claims = labels.Claims(now.agent_labels, now.claimed_labels)
    words = labels.notices(link.name, claims, own=link.labels, before=link.agent_labels)
    if now.held_revision:
        words.append(
            f"The server's state is older than this node: it knows its desired set up to revision {link.revision}, and "
            f"the node has {now.held_revision}. The node keeps what it runs. Restore a newer state, or give it the "
            f"server's set as it is now: qd node sync {link.name}"
        )
        log.error("node %s (%s): %s", link.name, link.key, words[-1])
    return _Greeting(notices=words)


async def why_refused(
    transaction: AsyncConnection, strangers: Sequence[AgentIdentity]
) -> Mapping[str, QuarterdeckError]:
    """Return the errors that refuse these agents, which belong to no node: a recorded removal, or else `UnknownNode`.

    Only `Revoked` lets an agent end what it runs. The node numbers of the others, from their certificates, are
    reserved.
    """
    if not strangers:
        return {}
    ended = await rows.find_terminated(transaction, [agent.agent_id for agent in strangers])
    unknown = [agent for agent in strangers if agent.agent_id not in ended]
    await rows.reserve(transaction, [agent.key for agent in unknown])
    refusals: dict[str, QuarterdeckError] = {agent_id: Revoked() for agent_id in ended}
    for agent in unknown:
        refusals[agent.agent_id] = UnknownNode(
            f"The server's state has no record of the node {agent.key} (agent {agent.agent_id}), though its "
            "certificate is of this fleet: the node joined another state, or a later one.",
            hint="Restore the state, or join the node again with a new token (`qd token create`).",
        )
    return refusals
