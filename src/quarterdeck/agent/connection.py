"""Keeps the link to the server up: connects, says Hello, sends heartbeats, and reconnects with full jitter.

The messages on the link are those of the topics (`link/conversation.py`), each of which has a conversation on every
link. The connection sends and takes only what belongs to the link itself: Hello, Welcome, Heartbeat, Refused. It owns
no state that outlives the agent.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from quarterdeck.kit.backoff import Backoff
from quarterdeck.kit.race import until_first, within
from quarterdeck.link.certificates import Credentials
from quarterdeck.link.conversation import Conversation, Conversations, Topic, Topics, types_of
from quarterdeck.link.frames import UnknownMessage
from quarterdeck.link.messages import (
    FromAgent,
    Heartbeat,
    Hello,
    Refused,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
    Welcome,
)
from quarterdeck.link.wire import AgentLink, AgentWire, Stream, linked
from quarterdeck.model.errors import (
    BY_CODE,
    BadFrame,
    QuarterdeckError,
    TimedOut,
    Unauthenticated,
    Unavailable,
)

log = logging.getLogger(__name__)

WELCOME_TIMEOUT_S = 15.0
#: a link that lasted this long was a good one: the next attempt comes soon
_GOOD_LINK_S = 5.0


class Retries(NamedTuple):
    """The pauses between attempts to connect."""

    unreachable: Backoff = Backoff(1.0, 10.0, spread=1.0)
    #: while the server refuses this node: it may be accepted again, but not soon
    refused: Backoff = Backoff(60.0, 60.0)


RETRIES = Retries()


class LiveLink:
    """The link while it is up."""

    def __init__(self, link: AgentLink, control: Stream[ToAgent, FromAgent], welcome: Welcome) -> None:
        self.welcome = welcome
        self._link = link
        self._control = control

    async def send(self, message: FromAgent) -> None:
        """Pass a message to the wire; raise `Unavailable` when the link has failed."""
        await self._control.send(message)

    async def receive(self) -> ToAgent | None:
        """Return the next message of the server."""
        return await self._control.receive()

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        """Open the telemetry stream."""
        return self._link.telemetry()


#: the messages that topics take; the others belong to the link itself
TOPIC_MESSAGES = types_of(ToAgent, but=(Welcome, Refused))


class Connection:
    """One agent's link. `credentials` and `hello` are called at every attempt, so they may change."""

    def __init__(
        self,
        wire: AgentWire,
        *,
        credentials: Callable[[], Credentials],
        hello: Callable[[], Hello],
        topics: Iterable[Topic[LiveLink, Conversation]],
        refused: Callable[[QuarterdeckError], Awaitable[None]] | None = None,
        heartbeat_s: float = math.inf,
        retries: Retries = RETRIES,
        jitter: random.Random | None = None,
    ) -> None:
        self._wire = wire
        self._credentials = credentials
        self._hello = hello
        self._topics = Topics(topics, messages=TOPIC_MESSAGES)
        self._refused = refused
        self._heartbeat_s = heartbeat_s
        self._retries = retries
        self._jitter = jitter or random.Random()  # noqa: S311 (spreads load, guards nothing)
        self._live: LiveLink | None = None
        self._renew = asyncio.Event()
        self._complaint = ""
        self._lasted_s = 0.0  # how long the last link was up

    @property
    def live(self) -> LiveLink | None:
        """Return the link, while the server has welcomed this agent."""
        return self._live

    def reconnect(self) -> None:
        """Replace the link, for example to use a renewed certificate."""
        self._renew.set()

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        attempt = 0
        while True:
            try:
                await self._connect_once()
            except QuarterdeckError as error:
                self._complain(error)
                attempt = 0 if self._lasted_s > _GOOD_LINK_S else attempt + 1
                if isinstance(error, Unauthenticated) and self._refused is not None:
                    await self._refused(error)
                await self._pause(self._delay(error, attempt))

    async def _pause(self, delay_s: float) -> None:
        await within(delay_s, self._renew.wait())

    def _delay(self, error: QuarterdeckError, attempt: int) -> float:
        pauses = self._retries.refused if isinstance(error, Unauthenticated) else self._retries.unreachable
        return pauses.pause_s(attempt, self._jitter.random())

    def _complain(self, error: QuarterdeckError) -> None:
        """Log why the link is down, once for each reason."""
        words = f"{error.code}: {error}"
        level = logging.DEBUG if words == self._complaint else logging.WARNING
        self._complaint = words
        log.log(level, "no link to the server (%s); trying again", words)

    async def _connect_once(self) -> None:
        """Run one link from beginning to end; raise the reason of its end. Return when it was left on purpose."""
        self._renew.clear()
        self._lasted_s = 0.0
        link = self._wire.connect(self._credentials())
        try:
            control = link.control()
            try:
                async with asyncio.timeout(WELCOME_TIMEOUT_S):
                    await control.send(self._hello())
                    welcome = await _expect_welcome(control)
            except TimeoutError as error:
                raise TimedOut(f"The server did not answer within {WELCOME_TIMEOUT_S:.0f} s.") from error
            live = LiveLink(link, control, welcome)
            self._complaint = ""
            log.info("linked to the server as node %d/%d", welcome.gid, welcome.nid)
            await self._serve(live)
        finally:
            self._live = None
            await link.close()

    async def _serve(self, live: LiveLink) -> None:
        self._live, began = live, time.monotonic()
        beat_s = min(self._heartbeat_s, live.welcome.heartbeat_s)
        conversations = self._topics.open(live)
        try:
            with linked():
                await until_first(
                    self._renew.wait(),
                    _receive(live, conversations),
                    _beat(live, beat_s),
                    *conversations.running(),
                )
        finally:
            self._lasted_s = time.monotonic() - began
        if not self._renew.is_set():
            raise Unavailable("The link ended.")


async def _receive(live: LiveLink, conversations: Conversations[LiveLink]) -> None:
    while True:
        try:
            message = await live.receive()
        except UnknownMessage as error:
            log.info("the server is newer than this agent: %s", error)
            continue
        match message:
            case None:
                raise Unavailable("The server ended the link.")
            case Refused():
                raise _refusal(message)
            case Welcome():
                log.warning("the server sent a Welcome when none was due")
            case _:
                await conversations.received(message)


async def _expect_welcome(control: Stream[ToAgent, FromAgent]) -> Welcome:
    message = await control.receive()
    match message:
        case Welcome():
            return message
        case Refused():
            raise _refusal(message)
        case None:
            raise Unavailable("The server ended the link.")
        case _:
            raise BadFrame(f"Expected a Welcome first, found {type(message).__name__}.")


def _refusal(message: Refused) -> QuarterdeckError:
    return BY_CODE.get(message.code, QuarterdeckError)(message.reason)


async def _beat(live: LiveLink, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await live.send(Heartbeat(sent_at=time.time()))
