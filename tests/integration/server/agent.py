"""A node whose agent is a test: it says over the real link what the test says, and nothing by itself."""

from __future__ import annotations

import asyncio
from typing import Self, TypeVar

from quarterdeck.link.certificates import Credentials, key_to_pem, new_key, new_request
from quarterdeck.link.grpc.agent import GrpcAgentLink, GrpcAgentWire
from quarterdeck.link.join_tokens import parse
from quarterdeck.link.messages import Desired, FromAgent, Hello, JoinRequest, ToAgent, Welcome
from quarterdeck.link.trust import fetch_ca
from quarterdeck.link.wire import Stream
from quarterdeck.model.nodes import Facts
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.server.server import Server

T = TypeVar("T")
#: how long the server may take until it says something
ANSWER_S = 60.0


class Agent:
    """The agent of the node `web-1`."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.address = address
        self.credentials = credentials
        self._link: GrpcAgentLink | None = None
        self._control: Stream[ToAgent, FromAgent] | None = None

    @classmethod
    async def join(cls, server: Server, token: str) -> Self:
        key, parsed = new_key(), parse(token)
        address = (await server.info()).link
        ca_pem = await fetch_ca(address, parsed)
        link = GrpcAgentWire(address).connect(
            Credentials(key_pem=parsed.key_pem, certificate_pem=parsed.certificate_pem, ca_pem=ca_pem)
        )
        try:
            reply = await link.join(JoinRequest(csr_pem=new_request(key, "web-1"), name="web-1"))
        finally:
            await link.close()
        return cls(
            address, Credentials(key_pem=key_to_pem(key), certificate_pem=reply.certificate_pem, ca_pem=reply.ca_pem)
        )

    async def connect(self) -> Welcome:
        self._link = GrpcAgentWire(self.address).connect(self.credentials)
        self._control = self._link.control()
        await self.say(Hello(protocol=1, facts=Facts(hostname="web-1", agent_version="1.0")))
        return await self.expect(Welcome)

    async def say(self, message: FromAgent) -> None:
        assert self._control is not None
        await self._control.send(message)

    async def receive(self) -> ToAgent:
        """What the server says next."""
        assert self._control is not None
        async with asyncio.timeout(ANSWER_S):
            return await self._control.receive()

    async def expect(self, kind: type[T]) -> T:
        """What the server says next, which is one of these."""
        message = await self.receive()
        assert isinstance(message, kind), message
        return message

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()


async def joined(server: Server) -> Agent:
    """A node that has never been connected."""
    token = await server.tokens.create_join(CreateJoinToken(labels={"role": "web"}))
    return await Agent.join(server, token.token)


async def connected(server: Server) -> Agent:
    """A node that is connected, and has heard what it is to run."""
    agent = await joined(server)
    await agent.connect()
    await agent.expect(Desired)
    return agent
