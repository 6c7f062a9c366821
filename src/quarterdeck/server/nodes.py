"""Nodes and agents: who is here, what they are called, who must go. How a node comes to be is in `joins.py`.

Owns the states of agents (`AGENT_TRANSITIONS`): ONLINE while connected or heard, OFFLINE when the link ended or fell
silent, TERMINATED for good when the node was removed or another agent took its place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import Hello, Welcome
from quarterdeck.model.errors import Conflict, Revoked, Unavailable
from quarterdeck.model.nodes import AgentIdentity, AgentRecord, AgentState, Facts, Node, NodeKey, Selector
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.desired import Desired
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.names import check_facts, check_labels
from quarterdeck.server.selection import find_one
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state import instances, services
from quarterdeck.store.state import nodes as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.nodes import Link

log = logging.getLogger(__name__)

NodeList = list[Node]
AgentList = list[AgentRecord]

#: heartbeats that may be missed before an agent counts as silent
HEARTBEATS = 3


class _Presence(NamedTuple):
    """An agent came (with its Hello) or left (with none)."""

    agent: AgentIdentity
    hello: Hello | None


class Nodes:
    """Lists, labels and removes nodes, and follows whether their agents are here."""

    def __init__(
        self,
        database: Database,
        *,
        desired: Desired,
        links: Links,
        ledger: Ledger,
        offline_after_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._desired = desired
        self._links = links
        self._ledger = ledger
        self._offline_after_s = offline_after_s
        self._clock = clock
        self._presence = Coalescer[_Presence, AgentState](self._store_presence)

    # ── what people ask ──────────────────────────────────────────────────────────────────────────────────────────────
    async def list(self, selector: Selector | None = None) -> NodeList:
        """The nodes that `selector` means; by default all."""
        async with self._database.read() as transaction:
            found = await rows.find_all(transaction)
        selector = selector or Selector()
        return [node for node in found if selector.matches(node.key, name=node.name, labels=node.labels)]

    async def show(self, reference: str) -> Node:
        """One node by name, nid or gid/nid. `Conflict` when more than one is called that."""
        async with self._database.read() as transaction:
            return await find_one(transaction, reference)

    async def count(self) -> tuple[int, int]:
        """How many nodes there are, and how many of them are ONLINE."""
        async with self._database.read() as transaction:
            return await rows.count(transaction)

    async def agents(self) -> AgentList:
        """Every agent there ever was, TERMINATED ones too."""
        async with self._database.read() as transaction:
            return await rows.find_agents(transaction)

    async def label(self, reference: str, changes: Mapping[str, str | None]) -> Node:
        """Sets labels (None removes one); modules and services whose selectors now match come, others go."""
        async with self._database.write() as transaction:
            node = await find_one(transaction, reference)
            own, agents = await rows.labels_of(transaction, node.key)
            fixed = sorted(set(changes) & set(agents))
            if fixed:
                raise Conflict(
                    f"The label '{fixed[0]}' of {node.name} is set by its agent's own configuration.",
                    hint="Change it there (`qd agent --label`).",
                )
            kept = {name: value for name, value in own.items() if name not in changes}
            labels = check_labels(kept | {name: value for name, value in changes.items() if value is not None})
            await rows.set_labels(transaction, node.key, labels)
            touched = await self._desired.place(transaction, keys=[node.key])
            node = await find_one(transaction, str(node.key))
        await self._links.wake(touched)
        return node

    async def remove(self, reference: str) -> None:
        """The node is gone, its agent TERMINATED, its certificate worthless; a live session ends, its jobs are LOST."""
        async with self._database.write() as transaction:
            node = await find_one(transaction, reference)
            await rows.set_state(transaction, [node.agent_id], AgentState.TERMINATED, now=self._clock())
            await rows.remove(transaction, node.key)
            told = await self._ledger.end_node(transaction, node.key, reason="The node was removed.")
        self._ledger.tell(told)
        self._desired.forget(node.key)
        await self._links.cut(node.agent_id, Revoked())

    # ── what agents do ───────────────────────────────────────────────────────────────────────────────────────────────
    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        """An agent is here, and says how its host is. `Revoked` when it stands for no node (any more)."""
        check_labels(hello.labels)
        check_facts(hello.facts)
        state = await self._presence(_Presence(agent, hello))
        if state is AgentState.TERMINATED:
            log.warning("refused agent %s of node %d/%d: it was revoked", agent.agent_id, agent.gid, agent.nid)
            raise Revoked
        return Welcome(
            gid=agent.gid,
            nid=agent.nid,
            heartbeat_s=self._offline_after_s / HEARTBEATS,
            server_time=self._clock(),
        )

    async def disconnected(self, agent: AgentIdentity) -> None:
        """The agent's link ended."""
        self._desired.forget(agent.key)
        await self._presence(_Presence(agent, None))

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        """These agents were heard just now; one that had fallen silent is ONLINE again."""
        agent_ids = [agent.agent_id for agent in agents]
        now = self._clock()
        async with self._database.write() as transaction:
            await rows.set_seen(transaction, agent_ids, now=now)
            await rows.set_state(transaction, agent_ids, AgentState.ONLINE, now=now)

    async def changed(self, agent: AgentIdentity, facts: Facts) -> None:
        """The agent's host is no longer as it was."""
        check_facts(facts)
        async with self._database.write() as transaction:
            link = (await rows.find_links(transaction, [agent.agent_id])).get(agent.agent_id)
            if link is not None:
                await rows.set_links(transaction, [link._replace(facts=facts)])

    # ── what silence says ────────────────────────────────────────────────────────────────────────────────────────────
    async def set_all_offline(self) -> None:
        """A server that starts has no agent yet; each is ONLINE again when it comes."""
        async with self._database.write() as transaction:
            await rows.set_silent_offline(transaction, seen_before=float("inf"), now=self._clock())

    async def watch(self) -> None:
        """Runs for ever: who was silent for too long is OFFLINE."""
        while True:
            await asyncio.sleep(self._offline_after_s / HEARTBEATS)
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("who is silent cannot be stored now: %s", error)
            except Exception:
                log.exception("who is silent cannot be found out; it is tried again")

    async def sweep(self) -> None:
        """Moves agents that were silent for too long to OFFLINE."""
        now = self._clock()
        seen_before = now - self._offline_after_s
        async with self._database.read() as transaction:  # most often nobody: then nothing is written
            silent = await rows.has_silent(transaction, seen_before=seen_before)
        if silent:
            async with self._database.write() as transaction:
                keys = await rows.set_silent_offline(transaction, seen_before=seen_before, now=now)
            log.info("%d agents fell silent", len(keys))

    async def _store_presence(self, changes: Sequence[_Presence]) -> Sequence[AgentState]:
        now = self._clock()
        async with self._database.write() as transaction:
            links = await rows.find_links(transaction, [change.agent.agent_id for change in changes])
            came = {change.agent.agent_id: change.hello for change in changes if change.hello is not None}
            last = {change.agent.agent_id: change.hello is not None for change in changes}
            here = [agent_id for agent_id, online in last.items() if online and agent_id in links]
            gone = [agent_id for agent_id, online in last.items() if not online and agent_id in links]
            await rows.set_seen(transaction, [*came], now=now)
            await rows.set_state(transaction, here, AgentState.ONLINE, now=now)
            await rows.set_state(transaction, gone, AgentState.OFFLINE, now=now)
            touched = await self._greet(transaction, {i: (links[i], hello) for i, hello in came.items() if i in links})
        await self._links.wake(touched)
        known = [change.agent.agent_id in links for change in changes]
        states = [AgentState.ONLINE if change.hello is not None else AgentState.OFFLINE for change in changes]
        return [state if there else AgentState.TERMINATED for state, there in zip(states, known, strict=True)]

    async def _greet(self, transaction: AsyncConnection, came: Mapping[str, tuple[Link, Hello]]) -> set[NodeKey]:
        """Stores what the Hellos say; which nodes should run something else because of it (their labels)."""
        said: list[Link] = []
        relabelled: list[NodeKey] = []
        versions: dict[str, str] = {}
        for agent_id, (link, hello) in came.items():
            # more than was ever asked for: this store is an older copy, and the agent starts from nothing
            acted = hello.acted_revision if 0 <= hello.acted_revision <= link.revision else 0
            now = link._replace(agent_labels=hello.labels, facts=hello.facts, acted_revision=acted)
            if now != link:
                said.append(now)
            if now.agent_labels != link.agent_labels:
                relabelled.append(link.key)
            if hello.facts.agent_version != link.facts.agent_version:
                versions[agent_id] = hello.facts.agent_version
        await rows.set_links(transaction, said)
        await rows.set_versions(transaction, versions)
        # what it said over an earlier connection may be of a process that is no more; it says everything anew now
        keys = [link.key for link, _ in came.values()]
        await instances.clear_statuses(transaction, keys)
        await services.clear_statuses(transaction, keys)
        return await self._desired.place(transaction, keys=relabelled) if relabelled else set()
