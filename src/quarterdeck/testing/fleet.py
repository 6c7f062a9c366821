"""A fleet in memory for tests and benchmarks of the link: the sessions' `Members`, and the stores behind the topics.

The topics are those of the server; dictionaries replace its stores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from quarterdeck.link.certificates import certificate_to_pem, identity_of
from quarterdeck.link.conversation import Conversation, Topic
from quarterdeck.link.join_tokens import new_join_token
from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES
from quarterdeck.link.messages import (
    ArtefactChunk,
    FactsChanged,
    FileChunk,
    FileOffer,
    FileStored,
    Hello,
    JobOffers,
    JobResults,
    JoinReply,
    JoinRequest,
    KillJobs,
    NewCertificate,
    PlacementReport,
    StatsReport,
    ToAgent,
    WantFile,
    Welcome,
)
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import NotFound, QuarterdeckError, Revoked, TokenExpired, TokenUsed, UnknownNode
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.files.links import ContentLinks
from quarterdeck.server.ingest.batches import IncomingBatch
from quarterdeck.server.jobs.jobs import JobReport, NextJobs
from quarterdeck.server.jobs.links import JobLinks
from quarterdeck.server.messages.links import MessageLinks
from quarterdeck.server.placement.links import DesiredLinks
from quarterdeck.server.renewals import Renewals
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.reports import ReportTopic
from quarterdeck.server.sessions.session import Session


class MemoryFleet:
    """Nodes, desired sets, artefacts and batches in dictionaries that a test reads and writes."""

    def __init__(self, authority: CertificateAuthority, *, heartbeat_s: float = 10.0) -> None:
        self.authority = authority
        self.heartbeat_s = heartbeat_s
        self.tokens: dict[str, bytes] = {}
        self.used: set[str] = set()
        self.expired: set[str] = set()
        self.serials: dict[str, str] = {}  #: agent id → serial of its valid certificate
        self.revoked: set[str] = set()
        self.unknown: set[str] = set()  #: ids of agents without a record in the state
        self.notices: tuple[str, ...] = ()
        self.here: dict[str, Hello] = {}
        self.arrivals: list[str] = []
        self.departures: list[str] = []
        self.heard: set[str] = set()
        self.received_messages: list[tuple[AgentIdentity, msgspec.Struct]] = []
        self.sets: dict[tuple[int, int], DesiredSet] = {}
        self.artefacts: dict[str, bytes] = {}
        self.pulled: dict[str, bytes] = {}  #: contents of files that agents sent, by sha256
        self.batches: dict[tuple[str, str, int], IncomingBatch] = {}
        self.offers: list[JobOffer] = []  #: offered to every node; later ones are sent by `job_links.wake`
        self.killed: list[str] = []
        self.job_reports: list[tuple[AgentIdentity, JobReport]] = []
        self.stores_results = True
        self.repeats = 0
        self.refuse_telemetry: QuarterdeckError | None = None
        self.links = Links()  #: the test attaches it to the sessions
        self.desired_links = DesiredLinks(self, links=self.links)
        self.job_links = JobLinks(self, links=self.links)
        self.message_links = MessageLinks(self.links)

    def topics(self) -> list[Topic[Session, Conversation]]:
        """Return the topics of a server, with this fleet behind them."""
        reports = (PlacementReport, StatsReport, FactsChanged)
        return [
            self.desired_links,
            self.job_links,
            self.message_links,
            ContentLinks(self),
            Renewals(self.renew),
            ReportTopic(dict.fromkeys(reports, self._report)),
        ]

    def new_token(self) -> str:
        """Return the text of a new token that works once. Call `Sessions.tokens_changed` afterwards."""
        text, token_id, pem = new_join_token(self.authority.fingerprint)
        self.tokens[token_id] = pem
        return text

    def add_artefact(self, content: bytes) -> str:
        """Add an artefact and return its sha256."""
        digest = hashlib.sha256(content).hexdigest()
        self.artefacts[digest] = content
        return digest

    # ── Members ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        if token_id in self.used:
            raise TokenUsed
        if token_id in self.expired:
            raise TokenExpired
        self.used.add(token_id)
        nid = len(self.used)
        agent_id = f"agent-{nid}"
        certificate = self.authority.issue(request.csr_pem, agent_id=agent_id, gid=1, nid=nid)
        self.serials[agent_id] = identity_of(certificate).serial
        return JoinReply(
            certificate_pem=certificate_to_pem(certificate),
            ca_pem=self.authority.pem,
            agent_id=agent_id,
            gid=1,
            nid=nid,
        )

    async def join_certificates(self) -> list[bytes]:
        return list(self.tokens.values())

    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        if agent.agent_id in self.revoked or self.serials.get(agent.agent_id, agent.serial) != agent.serial:
            raise Revoked
        if agent.agent_id in self.unknown:
            raise UnknownNode
        self.here[agent.agent_id] = hello
        self.arrivals.append(agent.agent_id)
        return Welcome(
            gid=agent.gid, nid=agent.nid, heartbeat_s=self.heartbeat_s, server_time=0.0, notices=self.notices
        )

    async def disconnected(self, agent: AgentIdentity) -> None:
        self.here.pop(agent.agent_id, None)
        self.departures.append(agent.agent_id)

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        self.heard |= {agent.agent_id for agent in agents}

    # ── what the topics need ─────────────────────────────────────────────────────────────────────────────────────────
    async def _report(self, agent: AgentIdentity, message: msgspec.Struct) -> None:
        self.received_messages.append((agent, message))

    async def renew(self, agent: AgentIdentity, csr_pem: bytes) -> NewCertificate:
        certificate = self.authority.issue(csr_pem, agent_id=agent.agent_id, gid=agent.gid, nid=agent.nid)
        self.serials[agent.agent_id] = identity_of(certificate).serial
        return NewCertificate(certificate_pem=certificate_to_pem(certificate), ca_pem=self.authority.pem)

    async def due(self, key: NodeKey) -> DesiredSet | None:
        return self.sets.get(key, DesiredSet(revision=0, placements={}))

    async def chunk(self, agent: AgentIdentity, sha256: str, offset: int) -> ArtefactChunk:  # noqa: ARG002
        content = self.artefacts.get(sha256)
        if content is None:
            raise NotFound
        chunk = content[offset : offset + ARTEFACT_CHUNK_BYTES]
        return ArtefactChunk(sha256=sha256, offset=offset, size=len(content), data=chunk)

    async def offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored:  # noqa: ARG002
        self.pulled[offer.sha256] = b""
        return WantFile(sha256=offer.sha256) if offer.size else FileStored(sha256=offer.sha256)

    async def received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None:  # noqa: ARG002
        content = self.pulled[chunk.sha256] = self.pulled[chunk.sha256][: chunk.offset] + chunk.data
        if hashlib.sha256(content).hexdigest() == chunk.sha256:
            return FileStored(sha256=chunk.sha256)
        return WantFile(sha256=chunk.sha256, offset=len(content))

    async def left(self, agent: AgentIdentity) -> None:
        pass

    async def next(self, agent: AgentIdentity, number: int) -> NextJobs:  # noqa: ARG002
        messages: list[ToAgent] = []
        if self.offers[number:]:
            messages.append(JobOffers(jobs=tuple(self.offers[number:])))
        if self.killed:
            messages.append(KillJobs(ids=tuple(self.killed)))
        return NextJobs(messages, len(self.offers), more=False)

    async def reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]:
        self.job_reports += [(agent, report) for report in reports]
        results = [each for report in reports if isinstance(report, JobResults) for each in report.results]
        return tuple(result.id for result in results) if self.stores_results else ()

    async def telemetry(self, batch: IncomingBatch) -> None:
        if self.refuse_telemetry is not None:
            raise self.refuse_telemetry
        self.repeats += batch.key in self.batches
        self.batches.setdefault(batch.key, batch)
