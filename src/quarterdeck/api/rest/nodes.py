"""Routes of nodes and agents."""

from __future__ import annotations

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.model.nodes import AgentRecord, Node, Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.nodes import Nodes


@post("/nodes/select", operation_id="selectNodes", status_code=200, role=Role.VIEWER)
async def select_nodes(server_nodes: NamedDependency[Nodes], data: JSONBody[Selector]) -> list[Node]:
    """List the nodes that a selector matches; the empty one matches all. A name that no node has is an error."""
    return await server_nodes.list(data)


@get("/nodes", operation_id="listNodes", role=Role.VIEWER)
async def list_nodes(server_nodes: NamedDependency[Nodes]) -> list[Node]:
    """List all nodes."""
    return await server_nodes.list(Selector())


@get("/nodes/{node:str}", operation_id="showNode", role=Role.VIEWER)
async def show_node(server_nodes: NamedDependency[Nodes], node: FromPath[str]) -> Node:
    """Show a node by name, nid or gid/nid (the slash as %2F)."""
    return await server_nodes.show(node)


@patch("/nodes/{node:str}/labels", operation_id="labelNode", role=Role.OPERATOR, audit=True)
async def label_node(
    server_nodes: NamedDependency[Nodes], node: FromPath[str], data: JSONBody[dict[str, str | None]]
) -> Node:
    """Set labels; null removes one."""
    return await server_nodes.label(node, data)


@post("/nodes/{node:str}/sync", operation_id="syncNode", status_code=200, role=Role.OPERATOR, audit=True)
async def sync_node(server_nodes: NamedDependency[Nodes], node: FromPath[str]) -> Node:
    """Send the desired set of this server's state to a node that keeps a later one (`held_revision`)."""
    return await server_nodes.sync(node)


@delete("/nodes/{node:str}", operation_id="removeNode", role=Role.ADMIN, audit=True)
async def remove_node(server_nodes: NamedDependency[Nodes], node: FromPath[str]) -> None:
    """Remove a node: its agent becomes TERMINATED and its certificate is revoked."""
    await server_nodes.remove(node)


@get("/agents", operation_id="listAgent", role=Role.VIEWER)
async def list_agents(server_nodes: NamedDependency[Nodes]) -> list[AgentRecord]:
    """List all agents, including TERMINATED ones."""
    return await server_nodes.agents()


ROUTES = (select_nodes, list_nodes, show_node, label_node, sync_node, remove_node, list_agents)
