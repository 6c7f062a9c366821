"""`client.agents`: all agents that ever joined."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import get
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.nodes import AgentRecord


class Agents(Namespace):
    """All agents that ever joined."""

    def list(self) -> Sequence[AgentRecord]:
        """Return all agents, including TERMINATED ones."""
        return self._connection.send(get("/agents", list[AgentRecord]))
