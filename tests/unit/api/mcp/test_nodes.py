"""The tool that lists nodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from quarterdeck.api.mcp.nodes import ListNodes, list_nodes
from quarterdeck.model.nodes import AgentState, Facts, Node, Selector
from tests.telemetry import VIEWER

FACTS = Facts(os="Debian", ebpf=False, ebpf_reason="the kernel has no BTF", addresses=tuple(map(str, range(20))))


class Nodes:
    def __init__(self, count: int) -> None:
        self._count = count
        self.asked: list[Selector] = []

    async def list(self, selector: Selector) -> list[Node]:
        self.asked.append(selector)
        states = (AgentState.ONLINE, AgentState.OFFLINE)
        return [
            Node(gid=1, nid=n, name=f"n{n:04}", agent_id="a", state=states[n % 2], facts=FACTS, seen_at=60.0)
            for n in reversed(range(self._count))
        ]


async def listed(nodes: Nodes, **asked: Any) -> Any:
    backend: Any = SimpleNamespace(nodes=nodes)
    return await list_nodes(backend, ListNodes(**asked), VIEWER)


async def test_nodes_are_summarised_in_the_order_of_their_names() -> None:
    nodes = Nodes(3)
    found = await listed(nodes, selector=Selector(gid=1))
    assert [node.name for node in found.nodes] == ["n0000", "n0001", "n0002"]
    assert (found.total, found.states, found.cut) == (3, {"ONLINE": 2, "OFFLINE": 1}, "")
    first = found.nodes[0]
    assert (first.key, first.seen_at) == ("1/0", "1970-01-01 00:01:00 UTC")
    assert (first.modules_cannot_run, len(first.addresses)) == ("the kernel has no BTF", 8)
    assert nodes.asked == [Selector(gid=1)]


async def test_the_pages_of_a_large_fleet_are_all_of_it() -> None:
    names: list[str] = []
    while True:
        found = await listed(Nodes(2000), limit=1000, offset=len(names), state=AgentState.ONLINE)
        assert found.total == 1000
        names += [node.name for node in found.nodes]
        if not found.cut:
            break
        assert found.cut == f"{1000 - len(names)} more nodes: use offset={len(names)}."
    assert names == [f"n{n:04}" for n in range(0, 2000, 2)]
