"""The https wire through a forward proxy, and a server with connections from peers that send nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from quarterdeck.link.address import Carrier
from quarterdeck.model.nodes import NodeKey
from quarterdeck.testing.link import LinkServer
from tests.integration.link.test_joining import joining
from tests.integration.link.test_sessions import linked


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LinkServer]:
    async with LinkServer(tmp_path / "server", carrier=Carrier.HTTPS) as running:
        yield running


@asynccontextmanager
async def connect_proxy(asked: list[str]) -> AsyncIterator[str]:
    """A forward proxy that supports only CONNECT; records the first line of each request."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.splitlines()[0])
        host, _, port = head.split()[1].rpartition(":")
        inner, outer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, outer), copy(inner, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()


async def test_a_node_joins_through_the_proxy_of_its_environment(
    server: LinkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    async with connect_proxy(asked) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        identity = await joining(tmp_path / "node", server.address).identity(await server.new_token())
    assert identity.agent.nid == 1
    assert asked
    assert {line.split()[0] for line in asked} == {"CONNECT"}


async def test_peers_that_say_nothing_keep_nobody_else_away(server: LinkServer, tmp_path: Path) -> None:
    host, port = server.address.removeprefix("https://").split("/")[0].split(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    silent[0][1].write(b"\x16\x03\x01")  # the beginning of a handshake, and no more
    identity = await joining(tmp_path / "node", server.address).identity(await server.new_token())
    assert identity.agent.nid == 1
    for _, writer in silent:
        writer.close()


async def test_a_peer_that_opens_stream_after_stream_takes_no_room_from_others(
    server: LinkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.sessions._wires[0], "_connections", 50)  # twice as many streams
    restless = server.credentials(nid=1)
    for _ in range(110):
        async with linked(server, restless):
            pass
    async with linked(server, server.credentials(nid=2)):
        assert server.sessions.connected(NodeKey(1, 2))
