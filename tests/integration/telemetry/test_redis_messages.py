"""Forwarded messages in the lists of a real Redis, read from the real store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from quarterdeck.columns.values import strings
from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.queue import QueuedMessage, log_of
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import INSERTS, Ingest
from quarterdeck.server.redis.connection import Connection, end
from quarterdeck.server.redis.messages import Messages
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from tests.redis_server import RedisServer
from tests.support import until
from tests.telemetry import agent, batch, body_of

KEPT = 5


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


async def printed(ingest: Ingest, *texts: str, domain: str = "web", name: str = "nginx", seq: int) -> None:
    rows = len(texts)
    body = body_of(
        MESSAGES_TABLE,
        {
            "id": np.arange(seq * 1000, seq * 1000 + rows, dtype=np.uint32),
            "job_id": strings(["j1"] * rows),
            "domain": strings([domain] * rows),
            "name": strings([name] * rows),
            "level": np.full(rows, 7, np.uint8),
            "marks": np.zeros(rows, np.uint8),
            "data": strings(list(texts)),
        },
    )
    await ingest.accept(from_agent(agent(), batch(body, rows, seq=seq, table=MESSAGES_TABLE)))


def found(redis: RedisServer, domain: str = "web", name: str = "nginx") -> list[QueuedMessage]:
    lines = redis.client.lrange(log_of(domain, name), 0, -1)
    return [msgspec.json.decode(line, type=QueuedMessage) for line in lines]


async def test_the_newest_messages_of_each_name_are_there_once_over_restarts(
    embedded_store: TelemetryStore, tables: Tables, ingest: Ingest, signals: LocalSignals, redis: RedisServer
) -> None:
    await tables.ensure(MESSAGES_TABLE)
    await printed(ingest, "before", seq=0)

    async def forward(*expected: str) -> None:
        connection = Connection(redis.url)
        messages = Messages(connection, embedded_store, server="one", kept=KEPT, keep_s=60)
        signals.listen(INSERTS, messages.arrived)
        task = asyncio.create_task(connection.keep("messages", messages.work))
        await until(lambda: redis.client.exists("cmds_queue.logged.one"))
        if not expected:
            await printed(ingest, 'a "quoted"\nline', "two", seq=1)
            await printed(ingest, "other", domain="", name="", seq=2)
            await until(lambda: found(redis, "", ""))
        await until(lambda: not expected or [each.data for each in found(redis)] == list(expected))
        await end([task])
        await connection.close()

    await forward()
    first, second = found(redis)
    assert (first.jobdomain, first.jobname, first.level, first.id) == ("web", "nginx", 7, 1000)
    assert (first.gid, first.nid, first.jobid, first.data) == (1, 7, "j1", 'a "quoted"\nline')
    assert second.data == "two"
    assert [each.data for each in found(redis, "", "")] == ["other"]
    assert 0 < redis.client.ttl(log_of("web", "nginx")) <= 60

    await printed(ingest, "three", "four", seq=3)  # while nobody forwards
    redis.kill()
    await asyncio.to_thread(redis.start)
    await forward('a "quoted"\nline', "two", "three", "four")
    await printed(ingest, *(str(number) for number in range(20)), seq=4)
    await forward("15", "16", "17", "18", "19")
