"""The HTTP server on its port: what becomes of those who read when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar, get
from litestar.response import ServerSentEvent

from quarterdeck.api.events import kept_alive
from quarterdeck.api.serve import HttpServer


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
