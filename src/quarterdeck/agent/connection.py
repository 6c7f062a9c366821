"""Keeps the link to the server up: connects, says Hello, beats, and begins anew with full jitter, for ever.

What is said over the link is not decided here: `LinkTask`s run while the link is up (reports, telemetry, renewal), and
`received` is handed every message. The connection owns nothing that must survive it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from quarterdeck.link.certificates import Credentials
from quarterdeck.link.messages import (
    FromAgent,
    Heartbeat,
    Hello,
    Refused,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
    UnknownMessage,
    Welcome,
)
from quarterdeck.link.race import until_first
from quarterdeck.link.wire import AgentLink, AgentWire, Stream
from quarterdeck.model.errors import (
    BY_CODE,
    BadFrame,
    QuarterdeckError,
    TimedOut,
    Unauthenticated,
    Unavailable,
)

log = logging.getLogger(__name__)

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 10.0
#: between tries while the server refuses this node itself: it may be let in again, but not soon
REFUSED_RETRY_S = 60.0
WELCOME_TIMEOUT_S = 15.0
#: a link that lasted this long was a good one: the next try comes soon
_GOOD_LINK_S = 5.0


class LiveLink:
    """The link while it is up."""

    def __init__(self, link: AgentLink, control: Stream[ToAgent, FromAgent], welcome: Welcome) -> None:
        self.welcome = welcome
        self._link = link
        self._control = control

    async def send(self, message: FromAgent) -> None:
        """Hand a message to the wire; `Unavailable` when the link broke."""
        await self._control.send(message)

    async def receive(self) -> ToAgent | None:
        """The next message of the server."""
        return await self._control.receive()

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        """Open the telemetry stream."""
        return self._link.telemetry()


#: runs while a link is up; when it returns or raises a QuarterdeckError the link is made anew
LinkTask = Callable[[LiveLink], Awaitable[None]]


class Connection:
    """One agent's link. `credentials` and `hello` are asked at every try, so a renewed certificate counts at once."""

    def __init__(
        self,
        wire: AgentWire,
        *,
        credentials: Callable[[], Credentials],
        hello: Callable[[], Hello],
        received: Callable[[ToAgent], Awaitable[None]],
        while_linked: Sequence[LinkTask] = (),
        refused: Callable[[QuarterdeckError], Awaitable[None]] | None = None,
        heartbeat_s: float = math.inf,
        jitter: random.Random | None = None,
    ) -> None:
        self._wire = wire
        self._credentials = credentials
        self._hello = hello
        self._received = received
        self._tasks = tuple(while_linked)
        self._refused = refused
        self._heartbeat_s = heartbeat_s
        self._jitter = jitter or random.Random()  # noqa: S311 (spreads load, guards nothing)
        self._live: LiveLink | None = None
        self._renew = asyncio.Event()
        self._complaint = ""
        self._lasted_s = 0.0  # how long the last link was up

    @property
    def live(self) -> LiveLink | None:
        """The link, while the server has welcomed this agent."""
        return self._live

    def reconnect(self) -> None:
        """Make the link anew, for instance with a renewed certificate."""
        self._renew.set()

    async def run(self) -> None:
        """For ever, until cancelled."""
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
        try:
            async with asyncio.timeout(delay_s):
                await self._renew.wait()
        except TimeoutError:
            pass

    def _delay(self, error: QuarterdeckError, attempt: int) -> float:
        if isinstance(error, Unauthenticated):
            return self._jitter.uniform(REFUSED_RETRY_S / 2, REFUSED_RETRY_S)
        return self._jitter.uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(attempt, 10)))

    def _complain(self, error: QuarterdeckError) -> None:
        """Say why there is no link, once for each reason."""
        words = f"{error.code}: {error}"
        level = logging.DEBUG if words == self._complaint else logging.WARNING
        self._complaint = words
        log.log(level, "no link to the server (%s); trying again", words)

    async def _connect_once(self) -> None:
        """One link from its beginning to its end; raises why it ended. Returns when it was left on purpose."""
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
        try:
            await until_first(
                self._renew.wait(),
                self._receive(live),
                _beat(live, beat_s),
                *(task(live) for task in self._tasks),
            )
        finally:
            self._lasted_s = time.monotonic() - began
        if not self._renew.is_set():
            raise Unavailable("The link ended.")

    async def _receive(self, live: LiveLink) -> None:
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
                case _:
                    await self._received(message)


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
