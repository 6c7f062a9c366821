"""Nodes that are only rows of a server's state: many, with facts and labels, and online for good.

Owns what such a node looks like. Nothing connects; an experiment that needs links uses `quarterdeck.testing.agents`.
"""

from __future__ import annotations

import time

from quarterdeck.model.nodes import AgentRecord, AgentState, Facts, Node, NodeKey
from quarterdeck.store.state import nodes
from quarterdeck.store.state.database import Database


async def add_nodes(database: Database, count: int) -> None:
    """Add this many nodes."""
    now = time.time()
    async with database.write() as transaction:
        for _ in range(count):
            key = await nodes.allocate(transaction, 1)
            node, agent = _node(key, now)
            await nodes.add(transaction, node, allowed_labels=())
            await nodes.add_agent(transaction, agent, seen_at=now + 1e6)  # never silent


def _node(key: NodeKey, now: float) -> tuple[Node, AgentRecord]:
    """Return a node and its agent."""
    name, agent_id = f"web-{key.nid}.example.com", f"agent-{key.nid}"
    addresses = tuple(f"10.{key.nid >> 8}.{key.nid & 255}.{number}" for number in range(3))
    facts = Facts(hostname=name, os="Debian", kernel="6.18", cpus=8, memory_bytes=2**36, addresses=addresses, ebpf=True)
    labels = {"role": "web", "site": f"site-{key.nid % 7}"}
    node = Node(
        gid=key.gid,
        nid=key.nid,
        name=name,
        agent_id=agent_id,
        state=AgentState.ONLINE,
        labels=labels,
        facts=facts,
        joined_at=now,
    )
    agent = AgentRecord(
        agent_id=agent_id, gid=key.gid, nid=key.nid, node_name=name, state=AgentState.ONLINE, create_time=now
    )
    return node, agent
