"""One agent's live link: passes the agent's messages to the conversations, until either side ends it.

The topics (`link/conversation.py`) handle the messages. The session itself sends and takes only those of the link:
Hello, Heartbeat, Refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar, cast

from quarterdeck.kit.race import until_first
from quarterdeck.link.conversation import Conversation, Topic, Topics, types_of
from quarterdeck.link.frames import UnknownMessage
from quarterdeck.link.messages import FromAgent, Heartbeat, Hello, Refused, ToAgent
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import BadFrame, QuarterdeckError
from quarterdeck.model.nodes import AgentIdentity

log = logging.getLogger(__name__)

#: how long a parting word may take
_FAREWELL_S = 1.0
#: the messages that topics take; the others belong to the link itself
TOPIC_MESSAGES = types_of(FromAgent, but=(Hello, Heartbeat))

C = TypeVar("C", bound=Conversation)


class Session:
    """The link of `agent`, with a conversation of each topic. `seen` is called for every message."""

    def __init__(
        self,
        agent: AgentIdentity,
        stream: Stream[FromAgent, ToAgent],
        *,
        topics: Topics[Session],
        seen: Callable[[], None],
    ) -> None:
        self.agent = agent
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replaced = False  #: another link of this agent took over
        self._stream = stream
        self._seen = seen
        self._conversations = topics.open(self)

    async def send(self, message: ToAgent) -> None:
        """Send the agent a message; `Unavailable` when the link is gone."""
        await self._stream.send(message)

    def conversation(self, topic: Topic[Session, C]) -> C:
        """Return the conversation that `topic` has over this link."""
        return cast("C", self._conversations.of(topic))

    def end(self, error: QuarterdeckError) -> None:
        """End the link, telling the agent why."""
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # taken note of: whoever serves the stream raises it

    async def run(self) -> None:
        """Serve until the agent leaves (returns) or the link must end (raises)."""
        try:
            await until_first(self._receive(), *self._conversations.running(), self.ended)
        finally:
            if self.ended.done():
                await self._farewell()

    async def _farewell(self) -> None:
        error = self.ended.exception()
        if isinstance(error, QuarterdeckError):
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await self._stream.send(Refused(code=error.code, reason=str(error)))
            except (QuarterdeckError, TimeoutError) as failure:
                log.debug("agent %s did not hear why its link ended: %s", self.agent.agent_id, failure)

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._stream.receive()
            except UnknownMessage as error:
                log.info("agent %s is newer than this server: %s", self.agent.agent_id, error)
                continue
            if message is None:
                return
            self._seen()
            match message:
                case Heartbeat():
                    pass
                case Hello():
                    raise BadFrame("Expected one Hello at the start of the connection, found a second one.")
                case _:
                    await self._conversations.received(message)
