"""Links to the agents that are connected now: whether one is there, its conversation on a topic, and its disconnection.

This module only passes calls on. Until the sessions are attached, as while the server starts, no agent is connected and
nobody needs to be told: every change is in the state store, and each agent receives it when it connects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from quarterdeck.link.conversation import Conversation, Topic
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.sessions.session import Session

C = TypeVar("C", bound=Conversation)


class LiveSessions(Protocol):
    """The connected agents of this server."""

    def conversation(self, key: NodeKey, topic: Topic[Session, C]) -> C | None: ...

    def connected(self, key: NodeKey) -> bool: ...

    async def disconnect(self, agent_id: str, error: QuarterdeckError | None = None) -> None: ...

    async def tokens_changed(self) -> None: ...


class Links:
    """Passes calls on to the sessions, once they are attached."""

    def __init__(self) -> None:
        self._sessions: LiveSessions | None = None

    def attach(self, sessions: LiveSessions | None) -> None:
        """Use these sessions from now on."""
        self._sessions = sessions

    def find(self, key: NodeKey, topic: Topic[Session, C]) -> C | None:
        """Return the conversation that `topic` has with the node; None if the node is not connected."""
        return None if self._sessions is None else self._sessions.conversation(key, topic)

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]:
        """Return which of these nodes are connected now."""
        sessions = self._sessions
        return set() if sessions is None else {key for key in keys if sessions.connected(key)}

    async def cut(self, agent_id: str, error: QuarterdeckError) -> None:
        """End the link of this agent, if it is connected, because of `error`."""
        if self._sessions is not None:
            await self._sessions.disconnect(agent_id, error)

    async def tokens_changed(self) -> None:
        """Have the handshake know who may join now."""
        if self._sessions is not None:
            await self._sessions.tokens_changed()
