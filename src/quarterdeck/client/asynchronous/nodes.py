"""`client.nodes`: the hosts of the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import delete, get, patch, post, segment
from quarterdeck.model.nodes import Node, Selector


class Nodes(Namespace):
    """The hosts of the fleet."""

    async def list(self, selector: Selector = Selector()) -> Sequence[Node]:
        """Return the nodes that match a selector; an empty selector matches all."""
        return await self._connection.send(post("/nodes/select", list[Node], selector))

    async def get(self, node: str) -> Node:
        """Return one node by name, nid or gid/nid."""
        return await self._connection.send(get(f"/nodes/{segment(node)}", Node))

    async def label(self, node: str, labels: Mapping[str, str | None]) -> Node:
        """Set labels; None removes one."""
        return await self._connection.send(patch(f"/nodes/{segment(node)}/labels", Node, dict(labels)))

    async def sync(self, node: str) -> Node:
        """Send this state's desired set to a node that keeps a set of a lost state."""
        return await self._connection.send(post(f"/nodes/{segment(node)}/sync", Node))

    async def remove(self, node: str) -> None:
        """Remove a node: its agent is TERMINATED and its certificate revoked."""
        return await self._connection.send(delete(f"/nodes/{segment(node)}"))
