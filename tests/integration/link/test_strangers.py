"""Connections without a certificate: they cost little, end soon, and block no agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from quarterdeck.link.address import Carrier
from quarterdeck.link.grpc.server import GrpcServerWire
from quarterdeck.link.https.server import HttpsServerWire
from quarterdeck.link.messages import TelemetryAck
from quarterdeck.link.wire import ServerWire
from quarterdeck.model.errors import TimedOut, Unavailable
from quarterdeck.testing.link import LinkServer
from tests.integration.link.test_sessions import batch, linked

Readers = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


class Impatient(LinkServer):
    """A server whose handshakes have little time, and ports few connections."""

    connections = 8192
    handshake_timeout_s = 3.0

    def _new_wire(self) -> ServerWire:
        kind = GrpcServerWire if self.carrier is Carrier.GRPC else HttpsServerWire
        return kind(self.bound, handshake_timeout_s=self.handshake_timeout_s, connections=self.connections)


@pytest.fixture(params=list(Carrier))
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Impatient]:
    async with Impatient(tmp_path / "server", carrier=request.param) as running:
        yield running


@asynccontextmanager
async def strangers(server: LinkServer, count: int, says: bytes = b"") -> AsyncGenerator[Readers]:
    """Open connections that send these bytes and nothing more."""
    host, _, port = server.bound.rpartition(":")
    opened: Readers = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(says)
            opened.append((reader, writer))
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await asyncio.sleep(0)  # they are closed then


async def links(server: LinkServer) -> None:
    """An agent tries until it is linked, as agents do."""
    while True:
        try:
            async with linked(server):
                return
        except (Unavailable, TimedOut):  # refused, or only one of its connections was accepted
            continue


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"])
async def test_an_agent_is_linked_beside_many_that_say_nothing_and_they_are_closed(
    server: Impatient, says: bytes
) -> None:
    async with strangers(server, 600, says) as opened:
        async with asyncio.timeout(60):
            await links(server)
        async with asyncio.timeout(60):
            for reader, _ in opened:
                try:
                    while await reader.read(1000):
                        pass
                except ConnectionError:
                    continue


async def test_who_says_nothing_costs_little_memory(server: Impatient) -> None:
    async with strangers(server, 10):
        before = psutil.Process().memory_info().rss
        async with strangers(server, 1000):
            await asyncio.sleep(0.5)
            assert psutil.Process().memory_info().rss - before < 100_000_000  # both ends are in this process


async def test_the_oldest_of_one_address_leave_room_for_an_agent(tmp_path: Path) -> None:
    for carrier in Carrier:
        small = Impatient(tmp_path / carrier, carrier=carrier)
        small.connections, small.handshake_timeout_s = 40, 1000.0
        async with small, strangers(small, 60), asyncio.timeout(60):
            await links(small)


async def test_a_linked_agent_stays_while_the_oldest_others_are_closed(server: Impatient, tmp_path: Path) -> None:
    small = Impatient(tmp_path / "small", carrier=server.carrier)
    small.connections, small.handshake_timeout_s = 40, 1000.0
    async with small, linked(small) as (link, _), asyncio.timeout(60):
        for _ in range(2):
            async with strangers(small, 38) as opened:
                while not any(reader.at_eof() for reader, _ in opened):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        telemetry = link.telemetry()
        await telemetry.send(batch(1))
        assert isinstance(await telemetry.receive(), TelemetryAck)
        assert len(small.fleet.here) == 1


async def test_a_port_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    for carrier in Carrier:
        small = Impatient(tmp_path / carrier, carrier=carrier)
        small.connections = 10
        async with small, strangers(small, 30) as opened:
            closed = [reader for reader, _ in opened if await _ends(reader)]
            assert len(closed) >= 20


async def _ends(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.2):
            while await reader.read(1000):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True
