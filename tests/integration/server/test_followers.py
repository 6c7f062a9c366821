"""Live streams are counted for each API token: a token with too many gets no further one, other tokens do."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import msgspec
import pytest

from quarterdeck.api.followers import REQUESTS
from quarterdeck.client import AsyncClient
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.tokens import Role
from tests.support import until

TAIL = "/api/v1/tables/messages/tail"
OTHERS = ("/api/v1/messages/events", "/api/v1/commands/none/events", "/api/v1/commands/none/output")


@pytest.fixture
def config(config: ServerConfig) -> ServerConfig:
    return msgspec.structs.replace(config, live_streams=2)


async def test_a_token_with_too_many_streams_gets_no_further_one(client: AsyncClient) -> None:
    made = await client.api_tokens.create("other", Role.VIEWER)
    ours, theirs = ({"Authorization": f"Bearer {token}"} for token in (client.endpoint.token, made.token))
    async with httpx.AsyncClient(base_url=client.endpoint.url) as http, AsyncExitStack() as second:
        async with http.stream("GET", TAIL, headers=ours) as first:
            assert first.status_code == 200
            assert (await second.enter_async_context(http.stream("GET", TAIL, headers=ours))).status_code == 200
            for path in (TAIL, *OTHERS):
                refused = await http.get(path, headers=ours)
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
                assert "2 live streams" in refused.json()["detail"]
            assert await client.tables.list()
            async with http.stream("GET", TAIL, headers=theirs) as other:
                assert other.status_code == 200

        async def taken() -> bool:
            async with http.stream("GET", TAIL, headers=ours) as again:
                return again.status_code == 200

        await until(taken)  # the server is told that the first reader is gone


async def test_a_stream_that_was_refused_or_ended_by_itself_counts_no_more(client: AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url) as http:
        for _ in range(5):
            assert (await http.get(OTHERS[1], headers=headers)).status_code == 404
        async with http.stream("GET", TAIL, headers=headers) as opened:
            assert opened.status_code == 200


async def test_a_token_with_too_many_requests_gets_no_further_one(client: AsyncClient) -> None:
    made = await client.api_tokens.create("other", Role.VIEWER)
    headers = {"Authorization": f"Bearer {made.token}"}
    begun = f"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {made.token}\r\n"
    begun += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"  # its end is never sent
    async with httpx.AsyncClient(base_url=client.endpoint.url) as http:
        address = http.base_url
        opened = [await asyncio.open_connection(address.host, address.port) for _ in range(REQUESTS)]
        for _, writer in opened:
            writer.write(begun.encode())

        async def refused() -> bool:
            answer = await http.get("/api/v1/tables", headers=headers)
            return answer.status_code == 429 and answer.json()["code"] == "too_many"

        await until(refused)
        assert (await http.get("/healthz")).status_code == 200
        assert await client.tables.list()
        opened.pop()[1].close()

        async def taken() -> bool:
            return (await http.get("/api/v1/tables", headers=headers)).status_code == 200

        await until(taken)
        for _, writer in opened:
            writer.close()
