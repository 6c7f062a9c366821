"""Lists of nouns that several fields of one request use. Each is read at most once, until something changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from quarterdeck.model.modules import Instance, Module
from quarterdeck.model.nodes import Node, NodeKey, Selector
from quarterdeck.model.services import ServiceOnNode
from quarterdeck.server.modules import Modules
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.services import Services

T = TypeVar("T")


class Lists:
    """The lists of one request, or of one event of a stream."""

    def __init__(self, services: Mapping[str, Any]) -> None:
        self._nodes: Nodes = services["server_nodes"]
        self._modules: Modules = services["server_modules"]
        self._services: Services = services["server_services"]
        self._read: dict[str, asyncio.Task[Any]] = {}

    async def nodes(self) -> Mapping[NodeKey, Node]:
        """Return all nodes by key."""
        return {node.key: node for node in await self._once("nodes", lambda: self._nodes.list(Selector()))}

    async def modules(self) -> Mapping[str, Module]:
        """Return all modules by id."""
        return {module.id: module for module in await self._once("modules", self._modules.list)}

    async def instances(self) -> Sequence[Instance]:
        """Return all instances."""
        return await self._once("instances", self._modules.instances)

    async def services_on_nodes(self) -> Sequence[ServiceOnNode]:
        """Return every service on every node."""
        return await self._once("services", self._services.on_nodes)

    def forget(self) -> None:
        """Read the lists again from now on: after a change, and for each event of a stream."""
        self._read.clear()

    async def _once(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        if name not in self._read:
            self._read[name] = asyncio.ensure_future(read())
        return await asyncio.shield(self._read[name])
