"""A cancelled send leaves the stream usable for others: over each wire, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.link.address import Carrier
from quarterdeck.link.grpc.server import GrpcServerWire
from quarterdeck.link.https.server import HttpsServerWire
from quarterdeck.link.limits import JOBS_LIMIT
from quarterdeck.link.messages import (
    FileChunk,
    FromAgent,
    Heartbeat,
    JoinReply,
    JoinRequest,
    KillJobs,
    MessagesFound,
    ResultsStored,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
)
from quarterdeck.link.wire import AgentLink, Peer, ServerWire, Stream
from quarterdeck.link.wires import agent_wire
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.jobs import ID_LIMIT
from quarterdeck.server.sessions.credentials import LinkCredentials
from quarterdeck.testing.link import LinkServer

#: as large as messages of their kind may be, and so many that no buffer on the way takes them all
LARGE = 1024 * 1024
MANY = 120


class Slow:
    """A service that reads and sends only when the test says so."""

    def __init__(self) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    async def join(self, peer: Peer, request: JoinRequest) -> JoinReply:
        raise Unavailable

    async def control(self, peer: Peer, stream: Stream[FromAgent, ToAgent]) -> None:
        self.opened.set_result(stream)
        await self.over.wait()

    async def telemetry(self, peer: Peer, stream: Stream[TelemetryBatch, TelemetryAck]) -> None:
        raise Unavailable


class Ends:
    """Both ends of one control stream."""

    def __init__(self, link: AgentLink, node: Stream[ToAgent, FromAgent], server: Stream[FromAgent, ToAgent]) -> None:
        self.link, self.node, self.server = link, node, server


@pytest.fixture(params=list(Carrier))
async def ends(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    authority = LinkServer(tmp_path, carrier=request.param)
    grpc = request.param is Carrier.GRPC
    wire: ServerWire = GrpcServerWire("127.0.0.1:0") if grpc else HttpsServerWire("127.0.0.1:0")
    service = Slow()
    bound = await wire.start(service, LinkCredentials(authority.authority, names=()))
    link = agent_wire(bound if grpc else f"https://{bound}").connect(authority.credentials())
    node = link.control()
    await node.send(Heartbeat(sent_at=0.0))
    server = await service.opened
    assert await server.receive() == Heartbeat(sent_at=0.0)
    yield Ends(link, node, server)
    service.over.set()
    await link.close()
    await wire.stop()


async def stuck(sending: list[asyncio.Task[None]]) -> None:
    """Send until flow control stops the stream."""
    before = -1
    while before != (now := sum(task.done() for task in sending)):
        before = now
        await asyncio.sleep(0.3)
    assert now < len(sending)


async def test_an_agents_sender_that_gives_up_leaves_the_stream_to_the_others(ends: Ends) -> None:
    sending = [
        asyncio.create_task(ends.node.send(FileChunk(sha256=f"{number}", offset=0, data=bytes(LARGE))))
        for number in range(MANY)
    ]
    await stuck(sending)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    last = asyncio.create_task(ends.node.send(FileChunk(sha256="last", offset=0, data=b"")))
    found: list[str] = []
    while found[-1:] != ["last"]:
        message = await ends.server.receive()
        assert isinstance(message, FileChunk)
        assert len(message.data) in (LARGE, 0)
        found.append(message.sha256)
    await last
    sent = [str(number) for number, task in enumerate(sending) if not task.cancelled()]
    assert found[: len(sent)] == sent


async def test_a_servers_sender_that_gives_up_leaves_the_stream_to_the_others(ends: Ends) -> None:
    ids = ("x" * ID_LIMIT,) * JOBS_LIMIT
    sending = [asyncio.create_task(ends.server.send(KillJobs(ids=ids))) for _ in range(10 * MANY)]
    await stuck(sending)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    last = asyncio.create_task(ends.server.send(ResultsStored(ids=("last",))))
    while (message := await ends.node.receive()) != ResultsStored(ids=("last",)):
        assert message == KillJobs(ids=ids)
    await last


async def test_what_controls_goes_past_what_is_large(ends: Ends) -> None:
    bulk = MessagesFound(number=1, problem="x" * LARGE)
    sending = [asyncio.create_task(ends.node.send(bulk)) for _ in range(MANY)]
    await stuck(sending)
    await ends.node.send(Heartbeat(sent_at=1.0))
    before = 0
    while await ends.server.receive() != Heartbeat(sent_at=1.0):
        before += 1
    assert before < MANY
    for task in sending:
        task.cancel()


async def test_a_link_that_is_closed_is_an_error_to_who_reads_it_not_a_cancellation(ends: Ends) -> None:
    reading = asyncio.create_task(ends.node.receive())
    await asyncio.sleep(0.1)
    await ends.link.close()
    with pytest.raises(Unavailable):
        await reading
    with pytest.raises(Unavailable):
        await ends.node.send(Heartbeat(sent_at=2.0))
