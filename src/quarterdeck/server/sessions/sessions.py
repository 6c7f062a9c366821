"""The server's side of the link for the whole fleet: authenticates agents, dispatches messages, tracks live sessions.

Identity comes from the peer's certificate alone. A call is served only when that certificate is one of this fleet's
nodes (control, telemetry) or of a listed join token (join); everything else is refused. The `Members` decide who may be
on the link, and the topics handle the messages. This module keeps nothing but the live connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from cryptography import x509

from quarterdeck.kit.parts import Parts
from quarterdeck.kit.race import until_first
from quarterdeck.link.certificates import certificates_from_pem
from quarterdeck.link.conversation import Conversation, Topic, Topics
from quarterdeck.link.messages import (
    PROTOCOL_VERSION,
    FromAgent,
    Hello,
    JoinReply,
    JoinRequest,
    Refused,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
    Welcome,
)
from quarterdeck.link.wire import Peer, ServerWire, Stream
from quarterdeck.model.errors import (
    BadFrame,
    Conflict,
    QuarterdeckError,
    Revoked,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.ingest.intake import Intake, Store
from quarterdeck.server.sessions.credentials import LinkCredentials
from quarterdeck.server.sessions.session import TOPIC_MESSAGES, Session

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 10.0
#: how often the fleet is told which agents were heard
SEEN_INTERVAL_S = 3.0
#: how often the server's own leaf is looked at
LEAF_INTERVAL_S = 3600.0
#: agents that the fleet takes note of at one time; after a restart all agents arrive together
_CONNECTING = 32

C = TypeVar("C", bound=Conversation)


class Members(Protocol):
    """The members of the fleet: who may be on the link. Errors of model/errors reach the agent as they are."""

    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        """Accept a new node; `TokenUsed`, `TokenExpired`."""
        ...

    async def join_certificates(self) -> list[bytes]:
        """PEM of the join tokens that get past TLS. Used and expired ones stay a while, to be refused in words."""
        ...

    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        """Record that an agent connected; `Revoked` when it was removed, `UnknownNode` when nothing is known of it."""
        ...

    async def disconnected(self, agent: AgentIdentity) -> None:
        """Note that the last connection of an agent has ended."""
        ...

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        """Note the agents that were heard since the last call."""
        ...


class Sessions:
    """Serves the link over `wires`, with a conversation of each of `topics` on every link.

    `store` stores a batch of telemetry, or refuses it for good; it raises `Unavailable` to have it sent again later.
    `names` are further host names for the server's certificate.
    """

    def __init__(
        self,
        members: Members,
        *,
        authority: CertificateAuthority,
        wires: Sequence[ServerWire],
        topics: Iterable[Topic[Session, Conversation]],
        store: Store,
        names: Sequence[str] = (),
        seen_interval_s: float = SEEN_INTERVAL_S,
    ) -> None:
        self._members = members
        self._authority = authority
        self._wires = tuple(wires)
        self._credentials = LinkCredentials(authority, names=names)
        self._topics = Topics(topics, messages=TOPIC_MESSAGES)
        self._intake = Intake(store)
        self._live: dict[str, Session] = {}
        self._nodes: dict[NodeKey, Session] = {}
        self._streams: Counter[str] = Counter()  # control streams by agent id, those not yet welcomed too
        self._welcomed: set[str] = set()
        self._quiet = asyncio.Event()  # no control stream is open
        self._quiet.set()
        self._seen: dict[str, AgentIdentity] = {}
        self._seen_interval_s = seen_interval_s
        self._connecting = asyncio.Semaphore(_CONNECTING)
        self._parts = Parts()
        self._parts.add("who is seen", run=self._report_seen)
        self._parts.add("the server's own certificate", run=self._renew_leaf)
        self.addresses: tuple[str, ...] = ()  #: where the wires listen, once started

    async def start(self) -> None:
        """Listen. Agents may arrive before this returns."""
        await self.tokens_changed()
        self.addresses = tuple([await wire.start(self, self._credentials) for wire in self._wires])
        await self._parts.start()

    async def stop(self) -> None:
        """End every session, wait for what is being stored, stop listening."""
        for session in list(self._live.values()):
            session.end(Unavailable("The server is stopping."))
        for wire in self._wires:
            await wire.stop()
        await self._quiet.wait()
        await self._parts.close()
        await self._intake.drain()

    def online(self) -> set[str]:
        """Return the agent ids with a live session."""
        return set(self._live)

    def conversation(self, key: NodeKey, topic: Topic[Session, C]) -> C | None:
        """Return the conversation of `topic` with that node; None if the node is not here."""
        session = self._nodes.get(key)
        return None if session is None else session.conversation(topic)

    def connected(self, key: NodeKey) -> bool:
        """Return whether that node has a live session."""
        return key in self._nodes

    async def disconnect(self, agent_id: str, error: QuarterdeckError | None = None) -> None:
        """End that agent's session, if there is one; by default because it was revoked."""
        session = self._live.get(agent_id)
        if session is not None:
            session.end(error or Revoked())

    async def tokens_changed(self) -> None:
        """Join tokens were created, used or forgotten: from now on the handshake knows."""
        self._credentials.list_tokens(await self._members.join_certificates())

    # ── what wires call (LinkService) ────────────────────────────────────────────────────────────────────────────────
    async def join(self, peer: Peer, request: JoinRequest) -> JoinReply:
        """Serve a new node that has a join token as its credential."""
        token_id = self._credentials.token_of(_certificate(peer))
        if token_id is None:
            raise Unauthenticated("Joining needs a join token as the credential.", hint="Use `qd token create`.")
        reply = await self._members.join(token_id, request)
        log.info("agent %s joined as node %d/%d from %s", reply.agent_id, reply.gid, reply.nid, peer.address)
        return reply

    async def control(self, peer: Peer, stream: Stream[FromAgent, ToAgent]) -> None:
        """Serve the control stream of an agent, from Hello to its end."""
        agent = self._authority.identify(_certificate(peer))
        hello = await _expect_hello(stream)
        self._streams[agent.agent_id] += 1
        self._quiet.clear()
        session: Session | None = None
        try:
            try:
                async with self._connecting:
                    welcome = await self._members.connected(agent, hello)
            except Unauthenticated as error:
                await stream.send(Refused(code=error.code, reason=str(error)))
                raise
            session = self._admit(agent, stream)
            await stream.send(welcome)
            await session.run()
        finally:
            await self._leave(agent, session)

    async def telemetry(self, peer: Peer, stream: Stream[TelemetryBatch, TelemetryAck]) -> None:
        """Serve the batches of an agent, only while its control stream is open."""
        agent = self._authority.identify(_certificate(peer))
        session = self._live.get(agent.agent_id)
        if session is None or session.agent != agent:
            raise Unauthenticated("Telemetry is taken only from an agent that was welcomed on its control stream.")
        await until_first(self._intake.serve(agent, stream), session.ended)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _admit(self, agent: AgentIdentity, stream: Stream[FromAgent, ToAgent]) -> Session:
        """Register a welcomed agent; an older connection of it ends."""

        def seen() -> None:
            self._seen[agent.agent_id] = agent

        session = Session(agent, stream, topics=self._topics, seen=seen)
        previous = self._live.get(agent.agent_id)
        if previous is not None:
            previous.replaced = True
            previous.end(Conflict("Another connection of this agent took over."))
        self._welcomed.add(agent.agent_id)
        self._live[agent.agent_id] = self._nodes[agent.key] = session
        seen()
        return session

    async def _leave(self, agent: AgentIdentity, session: Session | None) -> None:
        """Forget a control stream; the fleet is told when it was the agent's last."""
        if session is not None:
            session.end(Unavailable("The control stream has ended."))
            if self._live.get(agent.agent_id) is session:
                del self._live[agent.agent_id]
            if self._nodes.get(agent.key) is session:
                del self._nodes[agent.key]
        self._streams[agent.agent_id] -= 1
        if self._streams[agent.agent_id]:
            return
        del self._streams[agent.agent_id]
        self._seen.pop(agent.agent_id, None)  # told later, it would bring back an agent that has left
        try:
            if agent.agent_id in self._welcomed:
                self._welcomed.discard(agent.agent_id)
                await self._members.disconnected(agent)
        finally:
            if not self._streams:
                self._quiet.set()

    async def _report_seen(self) -> None:
        while True:
            await asyncio.sleep(self._seen_interval_s)
            seen, self._seen = self._seen, {}
            if not seen:
                continue
            try:
                await self._members.seen(list(seen.values()))
            except QuarterdeckError as error:
                log.warning("the fleet was not told which agents are here: %s", error)

    async def _renew_leaf(self) -> None:
        while True:
            await asyncio.sleep(LEAF_INTERVAL_S)
            try:
                self._credentials.renew()
            except OSError as error:
                log.warning("the server's own certificate could not be renewed: %s", error)


def _certificate(peer: Peer) -> x509.Certificate:
    return certificates_from_pem(peer.certificate_pem)[0]


async def _expect_hello(stream: Stream[FromAgent, ToAgent]) -> Hello:
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            message = await stream.receive()
    except TimeoutError as error:
        raise TimedOut(f"No Hello came within {HELLO_TIMEOUT_S:.0f} s.") from error
    if not isinstance(message, Hello):
        raise BadFrame(f"Expected a Hello first, found {type(message).__name__}.")
    if message.protocol != PROTOCOL_VERSION:
        raise Conflict(
            f"The agent speaks protocol {message.protocol} of the link, this server {PROTOCOL_VERSION}.",
            hint="Install the same release on both.",
        )
    return message
