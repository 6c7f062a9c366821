"""The HTTP server on its port, and its clients when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from litestar import Litestar, get
from litestar.response import ServerSentEvent

from quarterdeck.api.app import create_app
from quarterdeck.api.events import kept_alive
from quarterdeck.api.serve import HttpServer
from quarterdeck.client import AsyncClient, Endpoint
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server


async def _first_only() -> AsyncIterator[str]:
    yield "first"
    await asyncio.Event().wait()


@get("/live")
async def _live() -> ServerSentEvent:
    return ServerSentEvent(kept_alive(_first_only()))  # pyright: ignore[reportArgumentType]


async def test_who_follows_is_let_go_when_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    server = HttpServer(Litestar([_live], openapi_config=None), "127.0.0.1:0")
    await server.start()
    async with (
        httpx.AsyncClient(base_url=f"http://{server.address}") as client,
        client.stream("GET", "/live", timeout=60) as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "data: first"
        with caplog.at_level(logging.WARNING):
            await server.stop()
        try:
            rest = [line async for line in lines]
        except httpx.RemoteProtocolError:  # an answer without its end is what a cut would leave, too
            rest = []
    assert not any(rest)
    assert [record.getMessage() for record in caplog.records] == []


async def test_connections_that_say_nothing_keep_nobody_away_and_are_closed(
    server: Server, config: ServerConfig
) -> None:
    http = HttpServer(create_app(server), "127.0.0.1:0", head_timeout_s=3.0)
    await http.start()
    host, _, port = http.address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(600)]
    for number, (_, writer) in enumerate(silent):
        writer.write((b"", b"GET / HTTP/1.1\r\nx: ", b"PRI * HTTP/2.0\r\n")[number % 3])
    token = (Path(config.home) / "admin.token").read_text().strip()
    async with AsyncClient(Endpoint(url=f"http://{http.address}", token=token)) as client:
        assert await client.tables.list()
        async with asyncio.timeout(60):
            for reader, writer in silent:
                while await reader.read(1000):
                    pass
                writer.close()
        assert await client.tables.list()
    await http.stop()


async def test_a_connection_with_a_valid_token_stays_while_the_oldest_others_are_closed(
    server: Server, config: ServerConfig
) -> None:
    http = HttpServer(create_app(server), "127.0.0.1:0", local=Path(config.home) / "h.socket", connections=40)
    await http.start()
    host, _, port = http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    token = (Path(config.home) / "admin.token").read_text().strip()
    request = f"GET /api/v1/tables HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    async with asyncio.timeout(60):
        for _ in range(2):
            writer.write(request)
            while b"HTTP/1.1 200 " not in await reader.readline():
                assert not reader.at_eof()
            silent = [await asyncio.open_connection(host, int(port)) for _ in range(36)]
            while not any(other.at_eof() for other, _ in silent):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for _, other in silent:
                other.transport.abort()
        writer.write(request)
        while b"HTTP/1.1 200 " not in await reader.readline():
            assert not reader.at_eof()
    writer.close()
    await writer.wait_closed()
    transport = httpx.AsyncHTTPTransport(uds=str(Path(config.home) / "h.socket"))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as local:
        assert (await local.get("/healthz")).status_code == 200
        assert (await local.get("/api/v1/tables")).status_code == 401
    await http.stop()


async def test_a_token_may_follow_as_often_as_it_is_promised(server: Server, client: AsyncClient) -> None:
    limit = server.config.live_streams
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=client.endpoint.url, limits=limits) as many, AsyncExitStack() as following:
        for _ in range(limit):
            stream = many.stream("GET", "/api/v1/tables/messages/tail", headers=headers)
            assert (await following.enter_async_context(stream)).status_code == 200
        other = await client.api_tokens.create("other", Role.VIEWER)
        theirs = {"Authorization": f"Bearer {other.token}"}
        for _ in range(limit):
            stream = many.stream("GET", "/api/v1/tables/messages/tail", headers=theirs)
            assert (await following.enter_async_context(stream)).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert (await many.get(path)).status_code == 200
