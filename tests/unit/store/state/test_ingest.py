"""The ingest journal: after any crash every batch is in exactly one state: stored, pending or unknown."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import Conflict
from quarterdeck.model.ingest import BatchId, PendingInsert
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.ingest import IngestJournal


@pytest.fixture
def journal(database: Database) -> IngestJournal:
    return IngestJournal(database)


def batch(seq: int, origin: str = "a", epoch: str = "e") -> BatchId:
    return BatchId(origin=origin, epoch=epoch, seq=seq)


async def test_a_begun_insert_is_pending_until_it_is_committed(journal: IngestJournal) -> None:
    await journal.begin(1, "execs", [batch(1), batch(2)])
    assert await journal.pending() == [PendingInsert(group=1, table="execs", batches=(batch(1), batch(2)))]
    assert await journal.stored("a", "e") == set()
    await journal.commit(1, {})
    assert await journal.pending() == []
    assert await journal.stored("a", "e") == {1, 2}


async def test_a_discarded_insert_leaves_nothing(journal: IngestJournal) -> None:
    await journal.begin(1, "execs", [batch(1)])
    await journal.discard(1)
    assert await journal.pending() == []
    assert await journal.stored("a", "e") == set()
    await journal.begin(2, "execs", [batch(1)])
    await journal.commit(2, {})
    assert await journal.stored("a", "e") == {1}


async def test_batches_below_the_floor_are_forgotten_but_pending_ones_are_not(journal: IngestJournal) -> None:
    await journal.begin(1, "execs", [batch(1), batch(2), batch(3)])
    await journal.begin(2, "opens", [batch(4), batch(1, epoch="other"), batch(1, origin="b")])
    await journal.commit(1, {("a", "e"): 5})
    assert await journal.stored("a", "e") == set()
    assert [pending.group for pending in await journal.pending()] == [2]
    await journal.commit(2, {("a", "e"): 4})
    assert await journal.stored("a", "e") == {4}
    assert await journal.stored("a", "other") == {1}
    assert await journal.stored("b", "e") == {1}


async def test_an_insert_without_batches_is_pending_too(journal: IngestJournal) -> None:
    await journal.begin(9_000_000_000_000_000_000, "losses", [])
    assert [(p.table, p.batches) for p in await journal.pending()] == [("losses", ())]


async def test_a_batch_cannot_be_in_two_inserts_of_one_table(journal: IngestJournal) -> None:
    await journal.begin(1, "execs", [batch(1)])
    with pytest.raises(Conflict):
        await journal.begin(2, "execs", [batch(1)])
    assert [pending.group for pending in await journal.pending()] == [1]


async def test_thousands_of_batches_in_one_insert(journal: IngestJournal) -> None:
    batches = [batch(seq, origin=f"agent-{seq % 500}") for seq in range(5000)]
    await journal.begin(1, "execs", batches)
    await journal.commit(1, {(f"agent-{n}", "e"): 4000 for n in range(500)})
    assert await journal.stored("agent-7", "e") == {4007, 4507}


async def test_the_schema_registered_last_is_the_present_one(journal: IngestJournal) -> None:
    old = Table(name="execs", columns=(Column(name="time", type=ColumnType.TIMESTAMP),))
    new = Table(name="execs", columns=(*old.columns, Column(name="pid", type=ColumnType.UINT32)))
    other = Table(name="opens", columns=old.columns)
    for table in (old, other, new):
        await journal.register_table(table)
    assert await journal.tables() == [new, other]
    assert await journal.table_by_fingerprint(old.fingerprint) == old
    assert await journal.table_by_fingerprint("0" * 16) is None
    await journal.register_table(old)
    assert await journal.tables() == [old, other]


async def test_what_is_no_part_of_the_shape_is_updated(journal: IngestJournal) -> None:
    table = Table(name="execs", columns=(Column(name="time", type=ColumnType.TIMESTAMP),))
    longer = Table(name="execs", columns=table.columns, retention_s=1)
    await journal.register_table(table)
    await journal.register_table(longer)
    assert await journal.tables() == [longer]
