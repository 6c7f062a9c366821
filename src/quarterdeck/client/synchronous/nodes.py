"""`client.nodes`: the hosts of the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.client.calls import delete, get, patch, post, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.nodes import Node, Selector


class Nodes(Namespace):
    """The hosts of the fleet."""

    def list(self, selector: Selector = Selector()) -> Sequence[Node]:
        """Return the nodes that match a selector; an empty selector matches all."""
        return self._connection.send(post("/nodes/select", list[Node], selector))

    def get(self, node: str) -> Node:
        """Return one node by name, nid or gid/nid."""
        return self._connection.send(get(f"/nodes/{segment(node)}", Node))

    def label(self, node: str, labels: Mapping[str, str | None]) -> Node:
        """Set labels; None removes one."""
        return self._connection.send(patch(f"/nodes/{segment(node)}/labels", Node, dict(labels)))

    def sync(self, node: str) -> Node:
        """Send this state's desired set to a node that keeps a set of a lost state."""
        return self._connection.send(post(f"/nodes/{segment(node)}/sync", Node))

    def remove(self, node: str) -> None:
        """Remove a node: its agent is TERMINATED and its certificate revoked."""
        return self._connection.send(delete(f"/nodes/{segment(node)}"))
