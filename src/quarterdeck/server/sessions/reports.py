"""Reports of agents: messages about the state of something on a node, each checked before a noun takes it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from quarterdeck.link.conversation import Conversation, MessageType
from quarterdeck.model.errors import BadFrame, QuarterdeckError, Unavailable
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.sessions.session import Session

log = logging.getLogger(__name__)

Accept = Callable[[AgentIdentity, Any], Awaitable[None]]


class ReportTopic:
    """Passes each report to the function for its type in `accept`. A report that is refused is only logged."""

    def __init__(self, accept: Mapping[MessageType, Accept]) -> None:
        self.takes = tuple(accept)
        self._accept = accept

    def open(self, link: Session) -> Conversation:
        """Begin on a new link."""
        return _Reporting(link.agent, self._accept)


class _Reporting(Conversation):
    """The reports of one link."""

    def __init__(self, agent: AgentIdentity, accept: Mapping[MessageType, Accept]) -> None:
        self._agent = agent
        self._accept = accept

    async def received(self, message: msgspec.Struct) -> None:
        try:
            _check(message)
            await self._accept[type(message)](self._agent, message)
        except Unavailable:
            raise  # the agent reports everything anew when it reconnects
        except QuarterdeckError as error:
            log.warning("a report of agent %s was not accepted: %s", self._agent.agent_id, error)


def _check(message: msgspec.Struct) -> None:
    """Raise `BadFrame` unless the report can be stored and read again: no node may spoil what others stored."""
    try:
        msgspec.json.decode(msgspec.json.encode(message), type=type(message))
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:  # a number that is none, say, which JSON has not
        raise BadFrame(f"A {type(message).__name__} that cannot be stored: {error}.") from error
