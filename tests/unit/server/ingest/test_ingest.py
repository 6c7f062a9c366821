"""The batches of one round of ingest; tests/integration/telemetry has the storing of them."""

from __future__ import annotations

import asyncio
from typing import Any

import zstandard

from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.ingest.rounds import Item

AGENT = AgentIdentity(agent_id="a", gid=1, nid=1, serial="1")


async def test_a_round_is_no_larger_decompressed_than_it_may_be() -> None:
    nothing: Any = None
    ingest = Ingest(nothing, nothing, signals=nothing, limit_bytes=2_500_000)
    body = zstandard.compress(bytes(10**6))  # a few dozen bytes on the link
    for seq in range(5):
        batch = TelemetryBatch(epoch="e", seq=seq, floor=0, table="t", fingerprint="f", rows=1, body=body)
        ingest._put(("a", "e", seq), Item(from_agent(AGENT, batch), None, asyncio.get_running_loop().create_future()))
    assert [len(ingest._take()) for _ in range(3)] == [2, 2, 1]
