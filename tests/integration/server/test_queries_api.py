"""Queries over HTTP: the query of a client that disconnects is cancelled; large answers are complete."""

from __future__ import annotations

import asyncio

import httpx
import pyarrow as pa
import pytest

from quarterdeck.client import AsyncClient
from quarterdeck.model.queries import QueryFormat
from quarterdeck.server.server import Server
from tests.endless_queries import endless, running
from tests.support import until


async def test_a_query_ends_when_its_client_leaves(server: Server, client: AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url) as leaving:
        asked = asyncio.create_task(
            leaving.post("/api/v1/query", json={"sql": endless(), "timeout_s": 600}, headers=headers)
        )
        await until(lambda: running(server._stores.telemetry))
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not running(server._stores.telemetry))
    assert (await client.queries.run("SELECT 1")).rows == [[1]]


async def test_a_large_answer_comes_whole(client: AsyncClient) -> None:
    sql = "SELECT number, 'a\n\"' AS text FROM numbers(300000)"
    answer = await client.queries.run(sql, max_rows=200_000)
    assert (len(answer.rows), answer.rows[-1]) == (200_000, [199_999, 'a\n"'])
    assert answer.completeness.truncated
    body = await client.queries.export(sql, max_rows=200_000, format=QueryFormat.ARROW)
    assert pa.ipc.open_stream(body).read_all().num_rows == 200_000


@pytest.mark.parametrize("sql", ["SELECT 1 WHERE 0", "SELECT 1", "SELECT {a:UInt8} WITH TOTALS"])
async def test_any_answer_is_an_answer(client: AsyncClient, sql: str) -> None:
    if "TOTALS" in sql:
        sql = "SELECT number % 2 AS k, count() FROM numbers(4) GROUP BY k WITH TOTALS"
    answer = await client.queries.run(sql)
    assert len(answer.rows) == {"SELECT 1 WHERE 0": 0, "SELECT 1": 1}.get(sql, 2)
