"""How a round handles the times that agents send."""

from __future__ import annotations

import asyncio

import numpy as np

from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.rounds import Item, sort_out
from quarterdeck.store.telemetry.rows import times_ns

AGENT = AgentIdentity(agent_id="a", gid=1, nid=1, serial="1")
TABLE = Table(
    name="t", columns=(Column(name="time", type=ColumnType.TIMESTAMP), Column(name="n", type=ColumnType.INT64))
)
HOUR_NS = 3600 * 10**9
NOW_NS = 1_700_000_000 * 10**9


async def test_rows_from_a_far_future_get_the_time_of_their_arrival_and_those_of_a_wrong_clock_stay() -> None:
    times = np.array([NOW_NS - HOUR_NS, NOW_NS + HOUR_NS, NOW_NS + 25 * HOUR_NS, 2**63 - 1], np.int64)
    body = encode(Batch(TABLE, {"time": times, "n": np.arange(4)}, 4))
    batch = TelemetryBatch(epoch="e", seq=1, floor=0, table="t", fingerprint=TABLE.fingerprint, rows=4, body=body)
    item = Item(from_agent(AGENT, batch), TABLE, asyncio.get_running_loop().create_future())
    item.open.add(item.rows_id)
    found = sort_out([item], retention_s={"t": 86_400}, now_ns=NOW_NS, limit_bytes=1 << 20)
    assert found.ahead == [item]
    for pile in found.tables:
        assert times_ns(pile.rows).tolist() == [NOW_NS - HOUR_NS, NOW_NS + HOUR_NS, NOW_NS, NOW_NS]
        assert pile.rows.column("n").to_pylist() == [0, 1, 2, 3]
