"""The fleet as the sessions see it: which hosts may join, which agents may connect, and which are online.

It never decides anything. Errors of the services reach the agent unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.link.messages import Hello, JoinReply, JoinRequest, Welcome
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.joins import Joins
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.tokens import Tokens


class Fleet:
    """The `Members` of `server/sessions/sessions.py`, which passes each call to a service."""

    def __init__(self, *, nodes: Nodes, joins: Joins, tokens: Tokens) -> None:
        self._nodes = nodes
        self._joins = joins
        self._tokens = tokens

    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        """Let a host join as a node."""
        return await self._joins.join(token_id, request)

    async def join_certificates(self) -> list[bytes]:
        """Return the certificates of join tokens, which may pass a handshake though our CA did not issue them."""
        return await self._tokens.join_certificates()

    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        """Record that an agent connected, and return the answer to it."""
        return await self._nodes.connected(agent, hello)

    async def disconnected(self, agent: AgentIdentity) -> None:
        """Record that an agent disconnected."""
        await self._nodes.disconnected(agent)

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        """Record that these agents sent something."""
        await self._nodes.seen(agents)
