"""Addresses of either kind, from a batch to answers and tails: the text shown is the text that conditions compare."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address

import numpy as np

from quarterdeck.model.queries import Query
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.queries import Queries
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail
from tests.telemetry import TIME, agent, ask, batch, body_of

TABLE = Table(name="peers", columns=(TIME, Column(name="peer", type=ColumnType.IP)))
PEERS = ["::ffff:127.0.0.1", "2001:db8::1", "::1", "::ffff:10.1.2.3"]


def rows() -> bytes:
    octets = np.frombuffer(b"".join(IPv6Address(each).packed for each in PEERS), np.uint8).reshape(-1, 16)
    return body_of(TABLE, {"peer": octets})


async def test_an_ipv4_address_is_shown_and_compared_as_one(
    tables: Tables, ingest: Ingest, queries: Queries, tail: Tail
) -> None:
    await tables.ensure(TABLE)
    tailed = await tail.open("peers", where="peer = '127.0.0.1'")
    await ingest.accept(from_agent(agent(), batch(rows(), len(PEERS), table=TABLE)))
    async with asyncio.timeout(20):
        page = await anext(tailed)
    at = [column.name for column in page.columns].index("peer")
    assert [row[at] for row in page.rows] == ["127.0.0.1"]
    for condition, expected in (
        ("true", ["127.0.0.1", "2001:db8::1", "::1", "10.1.2.3"]),
        ("peer IN ('127.0.0.1', '::1')", ["127.0.0.1", "::1"]),
        ("isIPAddressInRange(peer, '10.0.0.0/8')", ["10.1.2.3"]),
    ):
        answer = await ask(queries, Query(sql=f"SELECT peer FROM peers WHERE {condition}"))
        assert sorted(str(row[0]) for row in answer.rows) == sorted(expected)
