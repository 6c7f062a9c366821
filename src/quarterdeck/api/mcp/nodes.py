"""The tool that lists nodes."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from msgspec import Meta, field

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import fitting
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentState, Node, Selector
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken

Chosen = Annotated[
    Selector,
    Meta(
        description="The nodes: all given parts and all labels must match; {} is every node."
        ' Example: {"labels": {"env": "prod"}, "roles": ["web"]} or {"nodes": ["web-1"]}.'
    ),
]


class ListNodes(Struct, frozen=True, kw_only=True):
    """The arguments of list_nodes."""

    selector: Chosen = field(default_factory=Selector)
    state: Annotated[AgentState | None, Meta(description="Only nodes whose agent is in this state.")] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="The most nodes in the answer.")] = 100
    offset: Annotated[int, Meta(ge=0, description="Nodes to leave out from the start, to get the next page.")] = 0


class NodeSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node in few words. `key` is gid/nid, which identifies it in tables and selectors."""

    key: str
    name: str
    state: str
    labels: dict[str, str] = {}
    seen_at: str = ""
    os: str = ""
    kernel: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    addresses: tuple[str, ...] = ()
    agent_version: str = ""
    modules_cannot_run: str = ""  #: why eBPF modules cannot run there


class NodesFound(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of list_nodes."""

    total: int
    states: dict[str, int]
    nodes: tuple[NodeSummary, ...]
    cut: str = ""


async def list_nodes(backend: Backend, asked: ListNodes, _: ApiToken) -> NodesFound:
    """Return the nodes that match, sorted by name."""
    found = await backend.nodes.list(asked.selector)
    chosen = sorted((node for node in found if asked.state in (None, node.state)), key=lambda node: node.name)
    page = [_summary(node) for node in chosen[asked.offset : asked.offset + asked.limit]]
    shown = fitting(page)
    ended = asked.offset + len(shown)
    more = f"{len(chosen) - ended} more nodes: use offset={ended}." if ended < len(chosen) else ""
    return NodesFound(
        total=len(chosen),
        states=dict(Counter(str(node.state) for node in chosen)),
        nodes=tuple(shown),
        cut=more,
    )


def _summary(node: Node) -> NodeSummary:
    facts = node.facts
    return NodeSummary(
        key=str(node.key),
        name=node.name,
        state=node.state,
        labels=node.labels,
        seen_at=utc(node.seen_at) if node.seen_at else "",
        os=facts.os,
        kernel=facts.kernel,
        cpus=facts.cpus,
        memory_bytes=facts.memory_bytes,
        addresses=facts.addresses[:8],
        agent_version=facts.agent_version,
        modules_cannot_run="" if facts.ebpf else facts.ebpf_reason,
    )


TOOLS = (
    Tool(
        name="list_nodes",
        title="List nodes",
        description=(
            "List the hosts (nodes) of the fleet with state, labels, operating system, kernel and addresses."
            " A node is ONLINE when its agent is connected. Begin here to learn names and labels, which the selectors"
            " of other tools take. Use `why` for the reason why a node is OFFLINE."
        ),
        arguments=ListNodes,
        answer=NodesFound,
        call=list_nodes,
    ),
)
