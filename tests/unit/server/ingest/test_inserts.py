"""An insert is settled by asking the table, whatever failed around it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from quarterdeck.model.errors import BadQuery, Unavailable
from quarterdeck.model.ingest import BatchId
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.testing.journal import MemoryJournal
from tests.telemetry import EXECS

ONE = BatchId(origin="a", epoch="e", seq=1)
IDS = np.ones(1, np.uint32)


class Tables:
    """A store that remembers groups, and fails before or after it does."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.before: Exception | None = None
        self.after: Exception | None = None
        self.away = False

    def insert(self, table: object, rows: object, *, group: int, **_: Any) -> None:
        before, self.before = self.before, None
        if before:
            raise before
        self.groups.append(group)
        after, self.after = self.after, None
        if after:
            raise after

    def holds(self, name: str, group: int) -> bool:
        if self.away:
            raise Unavailable("away")
        return group in self.groups

    def last_group(self) -> int:
        return max(self.groups, default=0)


class FailingJournal(MemoryJournal):
    """A journal whose next commit fails."""

    failing = False

    async def commit(self, group: int, floors: Any) -> None:
        if self.failing:
            self.failing = False
            raise Unavailable("the state store is away")
        await super().commit(group, floors)


@pytest.fixture
def store() -> Tables:
    return Tables()


@pytest.fixture
def journal() -> FailingJournal:
    return FailingJournal()


@pytest.fixture
async def inserts(store: Tables, journal: FailingJournal) -> Inserts:
    made = Inserts(store, journal, server=42, clock_ns=lambda: 5_000_000)  # type: ignore[arg-type]
    await made.recall(ONE)
    return made


async def put(inserts: Inserts, batch: BatchId = ONE) -> int:
    return await inserts.insert(EXECS, None, gids=IDS, nids=IDS, batches=[batch], floors={})


async def test_groups_grow_though_the_clock_stands_still(inserts: Inserts, store: Tables) -> None:
    other = msgspec.structs.replace(ONE, seq=ONE.seq + 2)
    assert [await put(inserts), await put(inserts, other)] == [5_000_042, 5_001_042] == store.groups


async def test_groups_grow_though_the_clock_went_back(store: Tables, journal: FailingJournal) -> None:
    store.groups = [9_000_001]
    inserts = Inserts(store, journal, clock_ns=lambda: 5_000_000)  # type: ignore[arg-type]
    await inserts.recover()
    assert await put(inserts) == 9_001_000


async def test_a_commit_that_failed_is_made_up_for(inserts: Inserts, store: Tables, journal: FailingJournal) -> None:
    journal.failing = True
    with pytest.raises(Unavailable):
        await put(inserts)
    assert not inserts.has(ONE)
    await inserts.settle()
    assert inserts.has(ONE)
    assert await journal.pending() == []


async def test_an_insert_that_failed_and_did_not_happen(
    inserts: Inserts, store: Tables, journal: FailingJournal
) -> None:
    store.before = Unavailable("away")
    with pytest.raises(Unavailable):
        await put(inserts)
    assert (inserts.has(ONE), await journal.pending()) == (False, [])


async def test_an_insert_that_failed_and_did_happen(inserts: Inserts, store: Tables) -> None:
    store.after = Unavailable("cut")
    await put(inserts)
    assert inserts.has(ONE)


async def test_while_the_store_is_away_nothing_is_said(
    inserts: Inserts, store: Tables, journal: FailingJournal
) -> None:
    store.after, store.away = Unavailable("cut"), True
    with pytest.raises(Unavailable):
        await put(inserts)
    with pytest.raises(Unavailable):
        await inserts.settle()
    assert not inserts.has(ONE)
    store.away = False
    await inserts.settle()
    assert (inserts.has(ONE), await journal.pending()) == (True, [])


async def test_rows_the_store_never_takes(inserts: Inserts, store: Tables, journal: FailingJournal) -> None:
    store.before = BadQuery("no such value")
    with pytest.raises(BadQuery):
        await put(inserts)
    assert await journal.pending() == []


async def test_a_crash_is_cleared_up_at_the_start(store: Tables, journal: FailingJournal) -> None:
    two = BatchId(origin="a", epoch="e", seq=2)
    await journal.begin(1000, "execs", [ONE])
    await journal.begin(2000, "execs", [two])
    store.groups = [1000]
    inserts = Inserts(store, journal)  # type: ignore[arg-type]
    await inserts.recover()
    await inserts.recall(ONE)
    assert (inserts.has(ONE), inserts.has(two), await journal.pending()) == (True, False, [])
