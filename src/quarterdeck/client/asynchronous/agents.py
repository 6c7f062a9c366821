"""`client.agents`: all agents that ever joined."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import get
from quarterdeck.model.nodes import AgentRecord


class Agents(Namespace):
    """All agents that ever joined."""

    async def list(self) -> Sequence[AgentRecord]:
        """Return all agents, including TERMINATED ones."""
        return await self._connection.send(get("/agents", list[AgentRecord]))
