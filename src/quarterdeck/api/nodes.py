"""Nodes and agents over HTTP."""

from __future__ import annotations

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.model.nodes import AgentRecord, Node, Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server


@post("/nodes/select", operation_id="selectNodes", status_code=200, role=Role.VIEWER)
async def select_nodes(server: NamedDependency[Server], data: JSONBody[Selector]) -> list[Node]:
    """The nodes a selector means; the empty one means all."""
    return await server.nodes.list(data)


@get("/nodes", operation_id="listNodes", role=Role.VIEWER)
async def list_nodes(server: NamedDependency[Server]) -> list[Node]:
    """Every node."""
    return await server.nodes.list(Selector())


@get("/nodes/{node:str}", operation_id="showNode", role=Role.VIEWER)
async def show_node(server: NamedDependency[Server], node: FromPath[str]) -> Node:
    """One node by name, nid or gid/nid (the slash as %2F)."""
    return await server.nodes.show(node)


@patch("/nodes/{node:str}/labels", operation_id="labelNode", role=Role.OPERATOR, audit=True)
async def label_node(
    server: NamedDependency[Server], node: FromPath[str], data: JSONBody[dict[str, str | None]]
) -> Node:
    """Sets labels; null removes one."""
    return await server.nodes.label(node, data)


@delete("/nodes/{node:str}", operation_id="removeNode", role=Role.ADMIN, audit=True)
async def remove_node(server: NamedDependency[Server], node: FromPath[str]) -> None:
    """Ends a node: its agent is TERMINATED and its certificate revoked."""
    await server.nodes.remove(node)


@get("/agents", operation_id="listAgent", role=Role.VIEWER)
async def list_agents(server: NamedDependency[Server]) -> list[AgentRecord]:
    """All agents, TERMINATED ones too."""
    return await server.nodes.agents()


ROUTES = (select_nodes, list_nodes, show_node, label_node, remove_node, list_agents)
