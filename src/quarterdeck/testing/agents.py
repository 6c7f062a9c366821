"""Simulated agents: many real connections in one process, without modules, for tests and benchmarks of a server.

Each agent has its own key, certificate, TLS connection and streams, and reconnects like a real agent. The server's CA
issues the certificates directly if it is available; otherwise each agent joins with a token of its own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Self

from quarterdeck.agent.connection import TOPIC_MESSAGES, Connection, LiveLink
from quarterdeck.kit.tasks import cancel
from quarterdeck.link.certificates import Credentials, certificate_to_pem, key_to_pem, new_key, new_request
from quarterdeck.link.conversation import Conversation, Topic, WhileLinked
from quarterdeck.link.grpc.agent import GrpcAgentWire
from quarterdeck.link.join_tokens import parse
from quarterdeck.link.messages import PROTOCOL_VERSION, Desired, Hello, JobOffers, JobResults, JoinRequest, ToAgent
from quarterdeck.link.trust import fetch_ca
from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.model.nodes import Facts
from quarterdeck.server.ca import CertificateAuthority


class SimulatedAgent:
    """One connection that sends only heartbeats. It stores the last desired set and answers jobs immediately.

    It is the only topic, and takes all messages.
    """

    takes = TOPIC_MESSAGES

    def __init__(self, address: str, credentials: Credentials, *, name: str, telemetry: bool = False) -> None:
        self.name = name
        self.revision = -1  #: revision of the last desired set received
        topics: list[Topic[LiveLink, Conversation]] = [self]
        if telemetry:
            topics.append(WhileLinked(_idle_telemetry))
        self.connection = Connection(
            GrpcAgentWire(address),
            credentials=lambda: credentials,
            hello=self._hello,
            topics=topics,
            jitter=random.Random(name),  # noqa: S311
        )

    @property
    def linked(self) -> bool:
        """Return whether the server has welcomed it."""
        return self.connection.live is not None

    def _hello(self) -> Hello:
        return Hello(protocol=PROTOCOL_VERSION, facts=Facts(hostname=self.name, agent_version="simulated"))

    def open(self, link: LiveLink) -> Conversation:
        """Open the conversation on a new link."""
        return _Answering(self, link)


class _Answering(Conversation):
    def __init__(self, agent: SimulatedAgent, link: LiveLink) -> None:
        self._agent = agent
        self._link = link

    async def received(self, message: ToAgent) -> None:
        if isinstance(message, Desired):
            self._agent.revision = message.desired.revision
        elif isinstance(message, JobOffers):
            results = (JobResult(id=job.id, cmd=job.cmd, state=JobState.OK) for job in message.jobs)
            await self._link.send(JobResults(results=tuple(results)))


class SimulatedAgents:
    """Agents that run in this event loop: `async with SimulatedAgents(…) as fleet: await fleet.all_linked()`."""

    def __init__(self, agents: Sequence[SimulatedAgent]) -> None:
        self.agents = tuple(agents)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def issued(cls, address: str, authority: CertificateAuthority, count: int) -> SimulatedAgents:
        """Return `count` agents with certificates that are issued here, as nodes 1/1, 1/2, …"""
        agents: list[SimulatedAgent] = []
        for nid in range(1, count + 1):
            key, name = new_key(), f"simulated-{nid}"
            certificate = authority.issue(new_request(key, name), agent_id=name, gid=1, nid=nid)
            credentials = Credentials(
                key_pem=key_to_pem(key), certificate_pem=certificate_to_pem(certificate), ca_pem=authority.pem
            )
            agents.append(SimulatedAgent(address, credentials, name=name, telemetry=True))
        return cls(agents)

    @classmethod
    async def joined(cls, address: str, tokens: Sequence[str]) -> SimulatedAgents:
        """Return one agent for each join token, joined in the usual way."""
        agents: list[SimulatedAgent] = []
        for number, text in enumerate(tokens, 1):
            token, key, name = parse(text), new_key(), f"simulated-{number}"
            ca_pem = await fetch_ca(address, token)
            link = GrpcAgentWire(address).connect(
                Credentials(key_pem=token.key_pem, certificate_pem=token.certificate_pem, ca_pem=ca_pem)
            )
            try:
                reply = await link.join(JoinRequest(csr_pem=new_request(key, name), name=name))
            finally:
                await link.close()
            credentials = Credentials(
                key_pem=key_to_pem(key), certificate_pem=reply.certificate_pem, ca_pem=reply.ca_pem
            )
            agents.append(SimulatedAgent(address, credentials, name=name, telemetry=True))
        return cls(agents)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(agent.connection.run()) for agent in self.agents]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(*self._tasks)

    def linked(self) -> int:
        """Return the number of linked agents."""
        return sum(agent.linked for agent in self.agents)

    async def all_linked(self) -> None:
        """Wait until every agent is linked."""
        while self.linked() < len(self.agents):  # noqa: ASYNC110 (a benchmark's clock, not a wait of the product)
            await asyncio.sleep(0.05)


async def _idle_telemetry(live: LiveLink) -> None:
    """Keep the telemetry stream open without sending, like an idle agent."""
    while await live.telemetry().receive() is not None:
        pass
