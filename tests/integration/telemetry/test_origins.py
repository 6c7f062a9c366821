"""Rows from other senders than agents, as columns, and tags that are added to the rows of all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quarterdeck.model.ingest import Origin
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.server.ingest.batches import Decoded, IncomingBatch, from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.batches import Rows
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.rows import from_lists
from quarterdeck.testing.journal import MemoryJournal
from tests.telemetry import EXECS, agent, batch, execs

RECEIVER = Origin("receiver", 3, 0)
POINTS = Table(
    name="points",
    columns=(Column(name="time", type=ColumnType.TIMESTAMP), Column(name="value", type=ColumnType.UINT32)),
)
NOW_NS = time.time_ns()


def points(*values: int, seq: int = 0, table: Table = POINTS) -> IncomingBatch:
    """Return rows that the server has as columns."""
    rows = from_lists(POINTS, {"time": [NOW_NS] * len(values), "value": list(values)})
    return IncomingBatch(
        origin=RECEIVER,
        epoch="e",
        seq=seq,
        table=table.name,
        fingerprint=table.fingerprint,
        rows=len(values),
        content=Decoded(rows),
    )


def stored(store: TelemetryStore, columns: str, table: str) -> list[list[object]]:
    return store._rows(f"SELECT {columns} FROM `{store.database}`.{table} ORDER BY ALL")


async def test_columns_are_stored_once_beside_the_batches_of_agents(
    ingest: Ingest, tables: Tables, embedded_store: TelemetryStore
) -> None:
    await tables.ensure(POINTS)
    one, two = points(1, 2), points(3, seq=1)
    await asyncio.gather(
        ingest.accept(one), ingest.accept(two), ingest.accept(from_agent(agent(), batch(execs(5), 5, epoch="e")))
    )
    await ingest.accept(one)
    assert stored(embedded_store, "gid, nid, value", "points") == [[3, 0, 1], [3, 0, 2], [3, 0, 3]]
    assert stored(embedded_store, "nid, count()", "execs GROUP BY nid") == [[7, 5]]


async def test_columns_of_another_table_are_a_loss(ingest: Ingest, embedded_store: TelemetryStore) -> None:
    await ingest.accept(points(1, 2, table=EXECS))
    assert stored(embedded_store, "count()", "execs") == [[0]]
    ((gid, nid, table, rows, detail),) = stored(embedded_store, "gid, nid, table, rows, detail", "losses")
    assert (gid, nid, table, rows) == (3, 0, "execs", 2)
    assert "columns" in str(detail)


async def test_columns_over_the_limit_are_a_loss(
    journal: MemoryJournal, tables: Tables, embedded_store: TelemetryStore
) -> None:
    await tables.ensure(POINTS)
    ingest = Ingest(Inserts(embedded_store, journal), tables, signals=LocalSignals(), interval_s=0.01, limit_bytes=1000)
    await ingest.start()
    await asyncio.gather(ingest.accept(points(*range(500))), ingest.accept(points(7, seq=1)))
    await ingest.stop()
    assert stored(embedded_store, "value", "points") == [[7]]
    assert stored(embedded_store, "reason, rows", "losses") == [["rejected", 500]]


async def test_rows_of_an_insert_are_tagged_together_with_the_nodes_that_they_come_from(
    journal: MemoryJournal, tables: Tables, embedded_store: TelemetryStore
) -> None:
    seen: list[tuple[str, Sequence[int]]] = []

    def tag(table: Table, rows: Rows, gids: NDArray[np.uint32], nids: NDArray[np.uint32]) -> Rows:
        assert (gids == 1).all()
        seen.append((table.name, sorted(nids.tolist())))
        column = rows.schema.field("took")
        times = nids.astype(np.int64) * 100
        return rows.set_column(rows.schema.get_field_index("took"), column, [times.tolist()])

    ingest = Ingest(Inserts(embedded_store, journal), tables, signals=LocalSignals(), interval_s=5, rows=3, tag=tag)
    await ingest.start()
    await asyncio.gather(
        ingest.accept(from_agent(agent(4), batch(execs(2), 2))), ingest.accept(from_agent(agent(5), batch(execs(1), 1)))
    )
    await ingest.stop()
    assert seen == [("execs", [4, 4, 5])]
    assert stored(embedded_store, "nid, took", "execs") == [[4, 400], [4, 400], [5, 500]]
