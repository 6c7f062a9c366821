"""Batches go in exactly once: repeats, foreign bytes, old rows, a full or absent store, and interruptions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard

from quarterdeck.columns.values import strings
from quarterdeck.model.errors import BadFrame, BadQuery, StorageFull, TooLarge, Unavailable
from quarterdeck.model.ingest import StoredInsert
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.tables import Table
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import INSERTS, Ingest
from quarterdeck.server.ingest.inserts import FORGET_AT, Inserts
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.batches import decode
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.testing.journal import MemoryJournal
from tests.support import until
from tests.telemetry import (
    ALL_TYPES,
    EXECS,
    TAGS,
    agent,
    batch,
    body_of,
    every_value,
    execs,
    only_losses,
    packed,
    tags,
)

DAY_NS = 86_400 * 10**9


def count(store: TelemetryStore, table: str = "execs") -> int:
    return store._rows(f"SELECT count() FROM `{store.database}`.{table}")[0][0]


def lost(store: TelemetryStore) -> dict[tuple[int, str, str], int]:
    rows = store._rows(f"SELECT nid, table, reason, sum(rows) FROM `{store.database}`.losses GROUP BY ALL")
    return {(nid, table, reason): total for nid, table, reason, total in rows}


async def test_rows_are_tagged_with_the_node_of_the_certificate(ingest: Ingest, embedded_store: TelemetryStore) -> None:
    await asyncio.gather(
        *(ingest.accept(from_agent(agent(nid, gid=3), batch(execs(nid, first=nid * 100), nid))) for nid in (1, 2, 3))
    )
    sql = f"SELECT gid, nid, count(), min(pid) FROM `{embedded_store.database}`.execs GROUP BY ALL ORDER BY nid"
    assert embedded_store._rows(sql) == [[3, 1, 1, 100], [3, 2, 2, 200], [3, 3, 3, 300]]


async def test_many_small_batches_are_few_inserts(
    ingest: Ingest, embedded_store: TelemetryStore, signals: LocalSignals
) -> None:
    body = execs(10)
    groups: list[StoredInsert] = []
    signals.listen(INSERTS, groups.extend)
    await asyncio.gather(*(ingest.accept(from_agent(agent(nid), batch(body, 10))) for nid in range(300)))
    assert count(embedded_store) == 3000
    assert len(groups) < 10


async def test_a_repeat_is_harmless(ingest: Ingest, embedded_store: TelemetryStore) -> None:
    losses = (Loss(table="execs", reason=LossReason.RING_FULL, rows=5),)
    one = batch(execs(10), 10, losses=losses)
    await asyncio.gather(*(ingest.accept(from_agent(agent(), one)) for _ in range(5)))
    await ingest.accept(from_agent(agent(), one))
    await ingest.accept(from_agent(agent(8), one))  # another agent's batch, though it looks the same
    await ingest.accept(from_agent(agent(), msgspec.structs.replace(one, epoch="e2")))
    assert count(embedded_store) == 30
    assert lost(embedded_store) == {(7, "execs", "ring_full"): 10, (8, "execs", "ring_full"): 5}


async def test_batches_below_the_floor_are_forgotten(ingest: Ingest, journal: MemoryJournal) -> None:
    for seq in range(FORGET_AT + 1):
        await ingest.accept(from_agent(agent(), batch(execs(1), 1, seq=seq, floor=seq)))
    assert await journal.stored("agent-1-7", "e1") == {2 * FORGET_AT}


async def test_losses_come_with_rows_and_without(ingest: Ingest, embedded_store: TelemetryStore) -> None:
    losses = [
        Loss(table="execs", reason=LossReason.TRAP, rows=3, module="m", detail="out of bounds", time_ns=time.time_ns()),
        Loss(table="execs", reason=LossReason.TRAP, rows=-5, time_ns=2**63 - 1),
        Loss(table="execs", reason=LossReason.RING_FULL, rows=2**64, time_ns=-1),
    ]
    await ingest.accept(from_agent(agent(), only_losses(losses)))
    assert lost(embedded_store) == {(7, "execs", "trap"): 3, (7, "execs", "ring_full"): 2**63 - 1}
    await ingest.accept(from_agent(agent(), only_losses([], seq=1)))


def damaged() -> dict[str, tuple[bytes, dict[str, Any]]]:
    good = execs(10)
    plain = zstandard.ZstdDecompressor().decompress(good)
    pack = zstandard.ZstdCompressor().compress
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
    other = body_of(ALL_TYPES, every_value())
    return {
        "nothing": (b"", {}),
        "noise": (b"\x00\xff" * 100, {}),
        "not zstd": (plain, {}),
        "cut": (good[:-20], {}),
        "cut inside": (pack(plain[: len(plain) // 2]), {}),
        "flipped": (pack(bytes([*plain[:200], *(b ^ 0xFF for b in plain[200:400]), *plain[400:]])), {}),
        "says no size": (unsized, {}),
        "a bomb": (pack(b"\0" * 300_000_000), {}),
        "a bomb within": (packed(decode(EXECS, good), compression="zstd"), {}),
        "not arrow": (pack(b"hello" * 100), {}),
        "another table's rows": (other, {}),
        "more rows than it says": (execs(11), {}),
        "unknown fingerprint": (good, {"fingerprint": "0" * 16}),
        "a fingerprint of another table": (good, {"table": "losses"}),
    }


async def test_what_cannot_be_stored_is_a_loss_and_harms_no_other_batch(
    ingest: Ingest, embedded_store: TelemetryStore
) -> None:
    cases = damaged()
    bad = [
        batch(body, 10, seq=seq, **other)
        if "table" not in other
        else msgspec.structs.replace(batch(body, 10, seq=seq), **other)
        for seq, (body, other) in enumerate(cases.values())
    ]
    good = batch(execs(10), 10, seq=1000)
    for _ in range(2):  # the second time they are repeats
        await asyncio.gather(*(ingest.accept(from_agent(agent(), one)) for one in (*bad, good)))
    assert count(embedded_store) == 10
    assert lost(embedded_store) == {
        (7, "execs", "rejected"): 10 * (len(cases) - 1),
        (7, "losses", "rejected"): 10,
    }


async def test_a_flipped_byte_anywhere_harms_nothing(ingest: Ingest, embedded_store: TelemetryStore) -> None:
    plain = zstandard.ZstdDecompressor().decompress(execs(20))
    pack = zstandard.ZstdCompressor().compress
    random = np.random.default_rng(5)
    batches = []
    for seq in range(300):
        changed = bytearray(plain)
        for at in random.integers(0, len(plain), random.integers(1, 4)):
            changed[at] = random.integers(0, 256)
        batches.append(batch(pack(bytes(changed)), 20, seq=seq))
    await asyncio.gather(*(ingest.accept(from_agent(agent(), one)) for one in batches))
    assert count(embedded_store) + sum(lost(embedded_store).values()) == 300 * 20


@pytest.mark.parametrize("name", [{"epoch": ""}, {"epoch": "x" * 1000}, {"seq": -1}, {"seq": 2**62}])
async def test_a_batch_without_a_proper_name_is_a_bad_frame(ingest: Ingest, name: Mapping[str, Any]) -> None:
    with pytest.raises(BadFrame):
        await ingest.accept(from_agent(agent(), msgspec.structs.replace(batch(execs(1), 1), **name)))


async def test_rows_older_than_the_retention_are_counted(ingest: Ingest, embedded_store: TelemetryStore) -> None:
    old = time.time_ns() - 8 * DAY_NS
    mixed = body_of(EXECS, {"pid": np.arange(4, dtype="u4"), "comm": strings(["a"] * 4), "took": np.zeros(4, "i8")})
    await asyncio.gather(
        ingest.accept(from_agent(agent(1), batch(execs(10, time_ns=old), 10))),
        ingest.accept(from_agent(agent(2), batch(mixed, 4))),
        ingest.accept(
            from_agent(
                agent(3), batch(execs(5, time_ns=old), 5, losses=(Loss(table="x", reason=LossReason.TRAP, rows=1),))
            )
        ),
    )
    for nid, rows in ((1, 10), (3, 5)):  # repeats
        await ingest.accept(from_agent(agent(nid), batch(execs(rows, time_ns=old), rows)))
    assert count(embedded_store) == 4
    assert lost(embedded_store) == {(1, "execs", "too_old"): 10, (3, "execs", "too_old"): 5, (3, "x", "trap"): 1}


# ── a store that fails ───────────────────────────────────────────────────────────────────────────────────────────────
class Failing:
    """The store, whose `insert` fails before or after it is done, as often as configured."""

    def __init__(self, store: TelemetryStore, error: Exception, *, done: bool, table: str = "", times: int = 1) -> None:
        self._store, self._error, self._done, self._table, self.times = store, error, done, table, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def insert(self, table: Table, rows: Any, **named: Any) -> None:
        failing = self.times > 0 and self._table in ("", table.name)
        if not failing or self._done:
            self._store.insert(table, rows, **named)
        if failing:
            self.times -= 1
            raise self._error


async def ingest_over(store: Any, journal: MemoryJournal, tables: Tables) -> Ingest:
    opened = Ingest(Inserts(store, journal), tables, signals=LocalSignals(), interval_s=0.01)
    await opened.start()
    return opened


@pytest.mark.parametrize("error", [StorageFull(), Unavailable("away")])
async def test_what_was_not_stored_is_to_be_offered_again(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables, error: Unavailable
) -> None:
    opened = await ingest_over(Failing(embedded_store, error, done=False), journal, tables)
    one = batch(execs(10), 10, losses=(Loss(table="execs", reason=LossReason.TRAP, rows=1),))
    with pytest.raises(type(error)):
        await opened.accept(from_agent(agent(), one))
    await opened.accept(from_agent(agent(), one))
    assert (count(embedded_store), sum(lost(embedded_store).values())) == (10, 1)
    await opened.stop()


async def test_an_insert_that_happened_although_it_failed_is_not_done_again(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables
) -> None:
    opened = await ingest_over(Failing(embedded_store, Unavailable("cut"), done=True, times=3), journal, tables)
    one = batch(execs(10), 10, losses=(Loss(table="execs", reason=LossReason.TRAP, rows=1),))
    await opened.accept(from_agent(agent(), one))
    await opened.accept(from_agent(agent(), one))
    assert (count(embedded_store), sum(lost(embedded_store).values())) == (10, 1)
    await opened.stop()


async def test_losses_are_counted_once_though_the_rows_come_again(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables
) -> None:
    """The losses are stored, then the store fails for the rows: the batch comes again, older still."""
    old = time.time_ns() - 8 * DAY_NS
    failing = Failing(embedded_store, Unavailable("away"), done=False, table="execs")
    opened = await ingest_over(failing, journal, tables)
    body = body_of(EXECS, {"pid": np.arange(3, dtype="u4"), "comm": strings(["a"] * 3), "took": np.zeros(3, "i8")})
    mixed = batch(body, 3, losses=(Loss(table="execs", reason=LossReason.TRAP, rows=1),))
    with pytest.raises(Unavailable):
        await opened.accept(from_agent(agent(), mixed))
    assert await journal.stored("agent-1-7", "e1") == {1}  # batch 0's losses
    await opened.accept(from_agent(agent(), mixed))
    await opened.accept(from_agent(agent(), batch(execs(5, time_ns=old), 5, seq=1)))
    assert (count(embedded_store), lost(embedded_store)) == (
        3,
        {(7, "execs", "trap"): 1, (7, "execs", "too_old"): 5},
    )
    await opened.stop()


async def test_a_batch_the_engine_refuses_does_not_hold_up_the_others(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables
) -> None:
    # refused together, then the first of them alone; the others pass one by one
    failing = Failing(embedded_store, BadQuery("no such value"), done=False, table="execs", times=2)
    opened = await ingest_over(failing, journal, tables)
    await asyncio.gather(*(opened.accept(from_agent(agent(nid), batch(execs(10), 10))) for nid in (1, 2, 3)))
    assert count(embedded_store) == 20
    assert list(lost(embedded_store).values()) == [10]
    await opened.stop()


class Forgetful:
    """A journal whose operations succeed but raise an error: the confirmation is lost."""

    def __init__(self, journal: MemoryJournal, *lost: str, late: bool = False) -> None:
        self._journal, self._lost, self._late = journal, list(lost), late
        self._waiting: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def call(*arguments: Any) -> Any:
            if name in self._lost:
                self._lost.remove(name)
                if self._late:
                    self._waiting.append(method(*arguments))
                else:
                    await method(*arguments)
                raise Unavailable("cut")
            answer = await method(*arguments)
            if name == "discard":  # now the transaction that was cut comes through
                while self._waiting:
                    await self._waiting.pop()
            return answer

        return call


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("lost", [("begin",), ("commit",), ("begin", "commit", "discard")])
async def test_a_transaction_whose_confirmation_is_lost_is_harmless(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables, lost: tuple[str, ...], late: bool
) -> None:
    if late and lost != ("begin",):
        lost = ("begin", "begin")
    forgetful: Any = Forgetful(journal, *lost, late=late)
    opened = await ingest_over(embedded_store, forgetful, tables)
    one = batch(execs(10), 10)
    for _ in range(12):
        try:
            await opened.accept(from_agent(agent(), one))
            break
        except Unavailable:
            continue
    await opened.accept(from_agent(agent(), one))
    await opened.accept(from_agent(agent(8), batch(execs(10), 10)))
    assert count(embedded_store) == 20
    assert await journal.pending() == []
    await opened.stop()


class Picky(Failing):
    """The store, but every insert with a row of process `pid` fails; or, without one, every insert into `table`."""

    def __init__(self, store: TelemetryStore, error: Exception, *, pid: int | None = None, table: str = "") -> None:
        super().__init__(store, error, done=False, table=table)
        self._pid = pid

    def insert(self, table: Table, rows: Any, **named: Any) -> None:
        has = self._pid is None or ("pid" in rows.column_names and self._pid in rows["pid"].to_pylist())
        self.times = int(has)
        super().insert(table, rows, **named)


@pytest.mark.parametrize("error", [BadQuery("no"), TooLarge("no"), KeyError("no"), RuntimeError("no")])
async def test_what_a_batch_raises_fails_that_batch_alone(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables, error: Exception
) -> None:
    """A bad batch is found by halving: it is a loss if it can never be stored, otherwise its agent keeps it."""
    opened = await ingest_over(Picky(embedded_store, error, pid=500), journal, tables)
    losses = (Loss(table="execs", reason=LossReason.TRAP, rows=1),)
    for _ in range(2):  # the second time most are repeats
        ends = await asyncio.gather(
            *(
                opened.accept(from_agent(agent(nid), batch(execs(10, first=nid * 100), 10, losses=losses)))
                for nid in range(1, 12)
            ),
            return_exceptions=True,
        )
        wrong = [nid for nid, end in enumerate(ends, 1) if end is not None]
        assert wrong == ([] if isinstance(error, BadQuery) else [5])
        assert all(isinstance(ends[nid - 1], Unavailable) for nid in wrong)
    assert count(embedded_store) == 100
    counted = lost(embedded_store)
    assert counted.pop((5, "execs", "rejected"), 0) == (10 if isinstance(error, BadQuery) else 0)
    assert counted == {(nid, "execs", "trap"): 1 for nid in range(1, 12)}
    await opened.stop()


async def test_rows_with_other_members_are_a_loss_and_harm_no_other_batch(
    ingest: Ingest, embedded_store: TelemetryStore, tables: Tables
) -> None:
    await tables.ensure(TAGS)
    foreign = (packed(tags(key="k")), packed(tags(nullable=True)), packed(tags(item="element")))
    await asyncio.gather(
        *(
            ingest.accept(from_agent(agent(nid), batch(body, 2, table=TAGS, seq=nid)))
            for nid, body in enumerate((packed(tags()), *foreign))
        ),
        ingest.accept(from_agent(agent(9), batch(execs(10), 10))),
    )
    assert (count(embedded_store, "tags"), count(embedded_store)) == (6, 10)
    assert lost(embedded_store) == {(1, "tags", "rejected"): 2}


async def test_a_table_that_takes_nothing_holds_up_no_other(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables
) -> None:
    await tables.ensure(TAGS)
    opened = await ingest_over(Picky(embedded_store, Unavailable("not open"), table="tags"), journal, tables)
    ends = await asyncio.gather(
        opened.accept(from_agent(agent(1), batch(packed(tags()), 2, table=TAGS))),
        opened.accept(from_agent(agent(2), batch(execs(10), 10))),
        return_exceptions=True,
    )
    assert [type(end) for end in ends] == [Unavailable, type(None)]
    assert count(embedded_store) == 10
    await opened.stop()


async def test_a_full_disk_is_said_and_passes(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await ingest_over(embedded_store, journal, tables)

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(embedded_store._inserts, "insert_arrow", no_space)
        with pytest.raises(StorageFull) as found:
            await opened.accept(from_agent(agent(), batch(execs(10), 10)))
        assert found.value.retry_after_s > 0
    await opened.accept(from_agent(agent(), batch(execs(10), 10)))
    assert count(embedded_store) == 10
    await opened.stop()


async def test_stopping_stores_what_waits_and_refuses_what_comes(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables
) -> None:
    opened = Ingest(Inserts(embedded_store, journal), tables, signals=LocalSignals(), interval_s=5)
    await opened.start()
    waiting = asyncio.ensure_future(opened.accept(from_agent(agent(), batch(execs(10), 10))))
    await until(lambda: opened._waiting)
    await opened.stop()
    await waiting
    assert count(embedded_store) == 10
    with pytest.raises(Unavailable):
        await opened.accept(from_agent(agent(), batch(execs(10), 10, seq=1)))


async def test_only_this_servers_inserts_are_cleared_up(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables
) -> None:
    await journal.begin(5001, "execs", ())
    await journal.begin(5002, "execs", ())
    inserts = Inserts(embedded_store, journal, server=2)
    await inserts.recover()
    assert [insert.group for insert in await journal.pending()] == [5001]
