"""A node whose agent is the test: it sends over the real link only what the test sends."""

from __future__ import annotations

import asyncio
from typing import Self, TypeVar

from quarterdeck.link.certificates import Credentials, key_to_pem, new_key, new_request
from quarterdeck.link.grpc.agent import GrpcAgentLink, GrpcAgentWire
from quarterdeck.link.join_tokens import parse
from quarterdeck.link.messages import PROTOCOL_VERSION, Desired, FromAgent, Hello, JoinRequest, ToAgent, Welcome
from quarterdeck.link.trust import fetch_ca
from quarterdeck.link.wire import Stream
from quarterdeck.model.nodes import Facts
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.server.server import Server

T = TypeVar("T")
#: how long the server may take until it says something
ANSWER_S = 60.0


class Agent:
    """The agent of a node."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.address = address
        self.credentials = credentials
        self._link: GrpcAgentLink | None = None
        self._control: Stream[ToAgent, FromAgent] | None = None

    @classmethod
    async def join(cls, server: Server, token: str, name: str) -> Self:
        key, parsed = new_key(), parse(token)
        address = (await server.about.info()).link
        ca_pem = await fetch_ca(address, parsed)
        link = GrpcAgentWire(address).connect(
            Credentials(key_pem=parsed.key_pem, certificate_pem=parsed.certificate_pem, ca_pem=ca_pem)
        )
        try:
            reply = await link.join(JoinRequest(csr_pem=new_request(key, name), name=name))
        finally:
            await link.close()
        return cls(
            address, Credentials(key_pem=key_to_pem(key), certificate_pem=reply.certificate_pem, ca_pem=reply.ca_pem)
        )

    async def connect(self) -> Welcome:
        self._link = GrpcAgentWire(self.address).connect(self.credentials)
        self._control = self._link.control()
        await self.say(Hello(protocol=PROTOCOL_VERSION, facts=Facts(hostname="web-1", agent_version="1.0")))
        return await self.expect(Welcome)

    async def say(self, message: FromAgent) -> None:
        assert self._control is not None
        await self._control.send(message)

    async def receive(self) -> ToAgent:
        """Return the next message of the server."""
        assert self._control is not None
        async with asyncio.timeout(ANSWER_S):
            message = await self._control.receive()
        assert message is not None, "the server ended the stream"
        return message

    async def expect(self, kind: type[T]) -> T:
        """Return the next message of the server, which must be one of these."""
        message = await self.receive()
        assert isinstance(message, kind), message
        return message

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()


async def joined(server: Server, name: str = "web-1") -> Agent:
    """Return a node that has never been connected."""
    token = await server.tokens.create_join(CreateJoinToken(labels={"role": "web"}))
    return await Agent.join(server, token.token, name)


async def connected(server: Server) -> Agent:
    """Connect a node, and receive its desired set."""
    agent = await joined(server)
    await agent.connect()
    await agent.expect(Desired)
    return agent
