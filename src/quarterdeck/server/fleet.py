"""The fleet as the link sees it: whatever an agent asks or says goes from here to the service whose business it is.

Decides nothing itself. Errors of the services reach the agent as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quarterdeck.link.messages import (
    ArtefactChunk,
    FactsChanged,
    FileChunk,
    FileOffer,
    FileStored,
    FromAgent,
    Hello,
    InstanceReport,
    JoinReply,
    JoinRequest,
    NewCertificate,
    ServiceReport,
    StatsReport,
    TelemetryBatch,
    WantFile,
    Welcome,
)
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.desired import Desired
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.pulls import Pulls
from quarterdeck.server.files.transfers import Transfers
from quarterdeck.server.instances import Instances
from quarterdeck.server.jobs.jobs import JobReport, Jobs, NextJobs
from quarterdeck.server.joins import Joins
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.services import Services
from quarterdeck.server.tokens import Tokens


class Telemetry(Protocol):
    """Where batches go."""

    async def accept(self, agent: AgentIdentity, batch: TelemetryBatch) -> None: ...


class Fleet:
    """What `Sessions` asks (its `AgentHandler`), answered by the services."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        joins: Joins,
        tokens: Tokens,
        desired: Desired,
        instances: Instances,
        services: Services,
        artefacts: Artefacts,
        files: Files,
        pulls: Pulls,
        transfers: Transfers,
        jobs: Jobs,
        telemetry: Telemetry,
    ) -> None:
        self._nodes = nodes
        self._joins = joins
        self._tokens = tokens
        self._desired = desired
        self._instances = instances
        self._services = services
        self._artefacts = artefacts
        self._files = files
        self._pulls = pulls
        self._transfers = transfers
        self._jobs = jobs
        self._telemetry = telemetry

    async def join(self, token_id: str, request: JoinRequest) -> JoinReply:
        """A host becomes a node."""
        return await self._joins.join(token_id, request)

    async def join_certificates(self) -> list[bytes]:
        """Whose handshakes may pass without a certificate of ours."""
        return await self._tokens.join_certificates()

    async def connected(self, agent: AgentIdentity, hello: Hello) -> Welcome:
        """An agent is here."""
        return await self._nodes.connected(agent, hello)

    async def disconnected(self, agent: AgentIdentity) -> None:
        """An agent is gone."""
        await self._pulls.left(agent)
        await self._nodes.disconnected(agent)

    async def seen(self, agents: Sequence[AgentIdentity]) -> None:
        """These agents were heard."""
        await self._nodes.seen(agents)

    async def received(self, agent: AgentIdentity, message: FromAgent) -> None:
        """An agent says how it, or what runs on it, does."""
        match message:
            case InstanceReport():
                await self._instances.reported(agent, message)
            case ServiceReport():
                await self._services.reported(agent, message)
            case StatsReport():
                await self._instances.counted(agent, message)
            case FactsChanged():
                await self._nodes.changed(agent, message.facts)
            case _:
                raise BadFrame(f"A {type(message).__name__} is not a report.")

    async def renew(self, agent: AgentIdentity, csr_pem: bytes) -> NewCertificate:
        """Another certificate."""
        return await self._joins.renew(agent, csr_pem)

    async def desired(self, key: NodeKey) -> DesiredSet:
        """What the node should run, to be sent to it now."""
        return await self._desired.of(key)

    async def artefact(self, agent: AgentIdentity, sha256: str, offset: int) -> ArtefactChunk:
        """A piece of a file or an artefact: whatever has that hash."""
        if self._files.has(sha256):
            chunk = await self._files.chunk(sha256, offset)
            self._transfers.note(agent, sha256, at=offset + len(chunk.data), size=chunk.size, to_node=True)
            return chunk
        return await self._artefacts.chunk(sha256, offset)

    async def file_offered(self, agent: AgentIdentity, offer: FileOffer) -> WantFile | FileStored:
        """A file of a node."""
        return await self._pulls.offered(agent, offer)

    async def file_received(self, agent: AgentIdentity, chunk: FileChunk) -> WantFile | FileStored | None:
        """A piece of a file of a node."""
        return await self._pulls.received(agent, chunk)

    async def next_jobs(self, agent: AgentIdentity, number: int) -> NextJobs:
        """Offers, and what to kill."""
        return await self._jobs.next(agent, number)

    async def jobs_reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]:
        """What became of jobs."""
        return await self._jobs.reported(agent, reports)

    async def telemetry(self, agent: AgentIdentity, batch: TelemetryBatch) -> None:
        """Rows. Returns when they are stored."""
        await self._telemetry.accept(agent, batch)
