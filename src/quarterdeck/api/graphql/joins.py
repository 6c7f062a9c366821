"""Fields that lead from one noun to another, such as a node's services. Each is loaded for all parents by one call.

They are of the role viewer, as the lists are from which they are taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import strawberry

from quarterdeck.api.graphql.handlers import Context
from quarterdeck.api.graphql.types import JOIN
from quarterdeck.model.jobs import Job
from quarterdeck.model.modules import Instance, Module
from quarterdeck.model.nodes import AgentRecord, Node, NodeKey
from quarterdeck.model.services import ServiceInfo, ServiceOnNode


async def _node(context: Context, parents: Sequence[Any]) -> Sequence[Node | None]:
    nodes = await context.lists.nodes()
    return [nodes.get(NodeKey(parent.gid, parent.nid)) for parent in parents]


async def _services_of_nodes(context: Context, parents: Sequence[Node]) -> Sequence[Sequence[ServiceOnNode]]:
    found: dict[tuple[int, int], list[ServiceOnNode]] = defaultdict(list)
    for each in await context.lists.services_on_nodes():
        found[each.gid, each.nid].append(each)
    return [found.get((node.gid, node.nid), ()) for node in parents]


async def _instances_of_nodes(context: Context, parents: Sequence[Node]) -> Sequence[Sequence[Instance]]:
    found: dict[tuple[int, int], list[Instance]] = defaultdict(list)
    for each in await context.lists.instances():
        found[each.gid, each.nid].append(each)
    return [found.get((node.gid, node.nid), ()) for node in parents]


async def _instances_of_modules(context: Context, parents: Sequence[Module]) -> Sequence[Sequence[Instance]]:
    found: dict[str, list[Instance]] = defaultdict(list)
    for each in await context.lists.instances():
        found[each.module_id].append(each)
    return [found.get(module.id, ()) for module in parents]


async def _module_of_instances(context: Context, parents: Sequence[Instance]) -> Sequence[Module | None]:
    modules = await context.lists.modules()
    return [modules.get(instance.module_id) for instance in parents]


async def _nodes_of_services(context: Context, parents: Sequence[ServiceInfo]) -> Sequence[Sequence[ServiceOnNode]]:
    found: dict[str, list[ServiceOnNode]] = defaultdict(list)
    for each in await context.lists.services_on_nodes():
        found[each.name].append(each)
    return [found.get(info.service.name, ()) for info in parents]


def _field(join: Any, description: str) -> Any:
    return strawberry.field(description=description, metadata={JOIN: join})


def joins() -> dict[type, dict[str, tuple[Any, Any]]]:
    """Return the joined fields of each struct: their type, and their strawberry field."""
    of_node: dict[str, tuple[Any, Any]] = {
        "node": (Node | None, _field(_node, "The node; null when it was removed meanwhile."))
    }
    return {
        Node: {
            "services": (
                tuple[ServiceOnNode, ...],
                _field(_services_of_nodes, "The services on it, with their state."),
            ),
            "instances": (tuple[Instance, ...], _field(_instances_of_nodes, "The modules on it, with their state.")),
        },
        Module: {"instances": (tuple[Instance, ...], _field(_instances_of_modules, "Its instance on every node."))},
        Instance: of_node | {"module": (Module | None, _field(_module_of_instances, "The module."))},
        ServiceInfo: {"nodes": (tuple[ServiceOnNode, ...], _field(_nodes_of_services, "Its state on every node."))},
        ServiceOnNode: dict(of_node),
        Job: dict(of_node),
        AgentRecord: dict(of_node),
    }
