"""The server's side of the link for the whole fleet: authenticates, dispatches, tracks live sessions, pushes.

Identity comes from the peer's certificate alone. A call is served only when that certificate is one of this fleet's
nodes (control, telemetry) or of a listed join token (join); everything else is refused. What nodes are and should run
is the fleet's knowledge, asked for through `AgentHandler`; nothing is remembered here beyond the live connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from cryptography import x509

from quarterdeck.link.certificates import certificates_from_pem
from quarterdeck.link.messages import (
    PROTOCOL_VERSION,
    ArtefactChunk,
    FileChunk,
    FileOffer,
    FileStored,
    FromAgent,
    Hello,
    JoinReply,
    JoinRequest,
    NewCertificate,
    Refused,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
    WantFile,
    Welcome,
)
from quarterdeck.link.race import until_first
from quarterdeck.link.wire import Peer, ServerWire, Stream
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import (
    BadFrame,
    Conflict,
    QuarterdeckError,
    Revoked,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.ingest.intake import Intake
from quarterdeck.server.jobs.jobs import JobReport, NextJobs
from quarterdeck.server.sessions.credentials import LinkCredentials
from quarterdeck.server.sessions.links import NewJob
from quarterdeck.server.sessions.session import Session

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 10.0
#: how often the fleet is told which agents were heard
SEEN_INTERVAL_S = 3.0
#: how often the server's own leaf is looked at
LEAF_INTERVAL_S = 3600.0
#: connects and desired sets asked of the fleet at one time; after a restart all agents arrive together
_FLEET_CONCURRENCY = 32


class AgentHandler(Protocol):
    """What the link asks of the fleet. Errors of model/errors reach the agent as they are."""

    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        """Accept a new node; `TokenUsed`, `TokenExpired`."""
        ...

    async def join_certificates(self) -> list[bytes]:
        """PEM of the join tokens that get past TLS. Used and expired ones stay a while, to be refused in words."""
        ...

    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        """An agent is here; `Revoked` when its certificate (serial) is not the valid one."""
        ...

    async def disconnected(self, agent: AgentIdentity) -> None:
        """The agent's last connection is gone."""
        ...

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        """These agents were heard since the last call."""
        ...

    async def received(self, agent: AgentIdentity, message: FromAgent) -> None:
        """An InstanceReport, ServiceReport, StatsReport or FactsChanged."""
        ...

    async def renew(self, agent: AgentIdentity, csr_pem: bytes) -> NewCertificate: ...

    async def desired(self, key: NodeKey) -> DesiredSet: ...

    async def artefact(self, agent: AgentIdentity, sha256: str, offset: int) -> ArtefactChunk:
        """A chunk of the artefact or file, for this agent; `NotFound` when there is none."""
        ...

    async def file_offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored:
        """The node has a file for the server: from where on, or that it is there, or why not."""
        ...

    async def file_received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None:
        """The next bytes of a file of the node; None when they are not what was asked for."""
        ...

    async def next_jobs(self, agent: AgentIdentity, number: int) -> NextJobs:
        """What the node is to be told of its jobs, after those of the commands up to `number`."""
        ...

    async def jobs_reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]:
        """What an agent says of its jobs; the ids of the results that it may forget."""
        ...

    async def telemetry(self, agent: AgentIdentity, batch: TelemetryBatch) -> None:
        """Returns when the batch is stored, or refused for good; `Unavailable` to have it sent again later."""
        ...


class Sessions:
    """Serves the link over `wires`. `names` are further host names for the server's certificate."""

    def __init__(
        self,
        handler: AgentHandler,
        *,
        authority: CertificateAuthority,
        wires: Sequence[ServerWire],
        names: Sequence[str] = (),
    ) -> None:
        self._handler = handler
        self._authority = authority
        self._wires = tuple(wires)
        self._credentials = LinkCredentials(authority, names=names)
        self._intake = Intake(handler.telemetry)
        self._live: dict[str, Session] = {}
        self._nodes: dict[NodeKey, Session] = {}
        self._streams: Counter[str] = Counter()  # control streams by agent id, those not yet welcomed too
        self._welcomed: set[str] = set()
        self._quiet = asyncio.Event()  # no control stream is open
        self._quiet.set()
        self._seen: dict[str, AgentIdentity] = {}
        self._fleet = asyncio.Semaphore(_FLEET_CONCURRENCY)
        self._tasks: list[asyncio.Task[None]] = []
        self.addresses: tuple[str, ...] = ()  #: where the wires listen, once started

    async def start(self) -> None:
        """Listen. Agents may arrive before this returns."""
        await self.tokens_changed()
        self.addresses = tuple([await wire.start(self, self._credentials) for wire in self._wires])
        self._tasks = [asyncio.create_task(self._report_seen()), asyncio.create_task(self._renew_leaf())]

    async def stop(self) -> None:
        """End every session, wait for what is being stored, stop listening."""
        for session in list(self._live.values()):
            session.end(Unavailable("The server is stopping."))
        for wire in self._wires:
            await wire.stop()
        await self._quiet.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._intake.drain()

    def online(self) -> set[str]:
        """The agent ids with a live session."""
        return set(self._live)

    async def push_desired(self, key: NodeKey) -> None:
        """Send that node its desired set, if it is here; pushes that overlap become one, with the latest set."""
        session = self._nodes.get(key)
        if session is not None:
            session.push()

    def push_jobs(self, key: NodeKey) -> None:
        """Offer that node its new jobs and tell it what to kill, if it is here."""
        session = self._nodes.get(key)
        if session is not None:
            session.jobs.changed()

    def offer_jobs(self, key: NodeKey, new: Sequence[NewJob]) -> None:
        """Offer that node these jobs, if it is here."""
        session = self._nodes.get(key)
        if session is not None:
            session.jobs.add(new)

    async def ask_messages(self, key: NodeKey, wanted: MessageFilter, wait_s: float) -> MessagePage:
        """What that node has of these messages; `Unavailable` when it is not here or leaves, `TimedOut`."""
        session = self._nodes.get(key)
        if session is None:
            raise Unavailable(f"The node {key} is not connected.")
        return await session.ask_messages(wanted, wait_s)

    def connected(self, key: NodeKey) -> bool:
        """Whether that node has a live session."""
        return key in self._nodes

    async def disconnect(self, agent_id: str, error: QuarterdeckError | None = None) -> None:
        """End that agent's session, if there is one; by default because it was revoked."""
        session = self._live.get(agent_id)
        if session is not None:
            session.end(error or Revoked())

    async def tokens_changed(self) -> None:
        """Join tokens were created, used or forgotten: from now on the handshake knows."""
        self._credentials.list_tokens(await self._handler.join_certificates())

    # ── what wires call (LinkService) ────────────────────────────────────────────────────────────────────────────────
    async def join(self, peer: Peer, request: JoinRequest) -> JoinReply:
        """A new node, with a join token as its credential."""
        token_id = self._credentials.token_of(_certificate(peer))
        if token_id is None:
            raise Unauthenticated("Joining needs a join token as the credential.", hint="Use `qd token create`.")
        reply = await self._handler.join(token_id, request)
        log.info("agent %s joined as node %d/%d from %s", reply.agent_id, reply.gid, reply.nid, peer.address)
        return reply

    async def control(self, peer: Peer, stream: Stream[FromAgent, ToAgent]) -> None:
        """One agent's control stream, from Hello to its end."""
        agent = self._authority.identify(_certificate(peer))
        hello = await _expect_hello(stream)
        self._streams[agent.agent_id] += 1
        self._quiet.clear()
        session: Session | None = None
        try:
            try:
                async with self._fleet:
                    welcome = await self._handler.connected(agent, hello)
            except Unauthenticated as error:
                await stream.send(Refused(code=error.code, reason=str(error)))
                raise
            session = self._admit(agent, stream)
            await stream.send(welcome)
            await session.run()
        finally:
            await self._leave(agent, session)

    async def telemetry(self, peer: Peer, stream: Stream[TelemetryBatch, TelemetryAck]) -> None:
        """One agent's batches; accepted only beside its live control stream, and ended with it."""
        agent = self._authority.identify(_certificate(peer))
        session = self._live.get(agent.agent_id)
        if session is None or session.agent != agent:
            raise Unauthenticated("Telemetry is taken only from an agent that was welcomed on its control stream.")
        await until_first(self._intake.serve(agent, stream), session.ended)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _admit(self, agent: AgentIdentity, stream: Stream[FromAgent, ToAgent]) -> Session:
        """Register a welcomed agent; an older connection of it ends."""

        async def desired() -> DesiredSet:
            async with self._fleet:
                return await self._handler.desired(agent.key)

        def seen() -> None:
            self._seen[agent.agent_id] = agent

        session = Session(agent, stream, handler=self._handler, desired=desired, seen=seen)
        previous = self._live.get(agent.agent_id)
        if previous is not None:
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
                await self._handler.disconnected(agent)
        finally:
            if not self._streams:
                self._quiet.set()

    async def _report_seen(self) -> None:
        while True:
            await asyncio.sleep(SEEN_INTERVAL_S)
            seen, self._seen = self._seen, {}
            if not seen:
                continue
            try:
                await self._handler.seen(list(seen.values()))
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
