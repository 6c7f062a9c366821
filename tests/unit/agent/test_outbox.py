"""The outbox: everything put is sent until acknowledged, or counted; in order, bounded, over restarts."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent import spill as spill_module
from quarterdeck.agent.outbox import Outbox
from quarterdeck.agent.spill import Segment, SpillFolder
from quarterdeck.agent.upkeep import Upkeep
from quarterdeck.link.messages import TelemetryAck, TelemetryBatch
from quarterdeck.model.config import OutboxConfig
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.tables import Column, ColumnType, Table
from tests.support import until

TABLE = Table(name="opens", columns=(Column(name="pid", type=ColumnType.UINT32),))
KIB = 1024
SMALL = OutboxConfig(memory_bytes=64 * KIB, disk_bytes=1024 * KIB)


QUICK = Upkeep(tick_s=0.01, disk_retry_s=0.01, segment_bytes=8 * KIB)
SPILLING_SOON = Upkeep(tick_s=0.01, spill_after_s=0.05)


def put(outbox: Outbox, count: int = 1, *, rows: int = 10, size: int = KIB) -> None:
    for _ in range(count):
        outbox.put(TABLE, rows, b"x" * size, "opens_module")


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*.{suffix}"))


def ack(outbox: Outbox, *batches: TelemetryBatch) -> None:
    for batch in batches:
        outbox.acknowledge(TelemetryAck(epoch=batch.epoch, seqs=(batch.seq,)))


async def take(outbox: Outbox, count: int) -> list[TelemetryBatch]:
    return [await outbox.next() for _ in range(count)]


async def drain(outbox: Outbox) -> list[TelemetryBatch]:
    """Take everything, as a server does."""
    taken: list[TelemetryBatch] = []
    while not outbox.empty:
        try:
            async with asyncio.timeout(0.3):
                taken.append(await outbox.next())
        except TimeoutError:
            continue
        ack(outbox, taken[-1])
    return taken


def tally(batches: list[TelemetryBatch]) -> Counter[str]:
    """Return rows that arrived, and rows lost by reason."""
    counts = Counter({"arrived": sum(batch.rows for batch in batches)})
    for batch in batches:
        for loss in batch.losses:
            counts[loss.reason] += loss.rows
    return +counts


class Keeping:
    """Run the outbox's upkeep."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def __aenter__(self) -> Outbox:
        self.task = asyncio.create_task(self.outbox.keep())
        return self.outbox

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_batches_come_in_order_and_are_forgotten_when_acknowledged(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxConfig())
    put(outbox, 3)
    batches = await take(outbox, 3)
    assert [batch.seq for batch in batches] == [1, 2, 3]
    assert {batch.floor for batch in batches} == {1}
    assert (batches[0].table, batches[0].fingerprint, batches[0].module) == ("opens", TABLE.fingerprint, "opens_module")
    ack(outbox, batches[1])
    assert not outbox.empty
    ack(outbox, *batches, batches[0])
    assert outbox.empty
    assert outbox.memory_bytes == 0


async def test_what_is_not_acknowledged_is_sent_again_the_same_and_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxConfig())
    put(outbox, 4)
    first = await take(outbox, 4)
    ack(outbox, first[0], first[2])
    outbox.rewind()
    again = await take(outbox, 2)
    assert [batch.seq for batch in again] == [2, 4]
    assert [msgspec.structs.replace(batch, floor=1) for batch in again] == [first[1], first[3]]
    assert again[0].floor == 2


async def test_next_waits_for_a_batch_put_by_another_thread(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxConfig())
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0.01)
    thread = threading.Thread(target=put, args=(outbox,))
    thread.start()
    assert (await waiting).seq == 1
    thread.join()


async def test_the_window_bounds_what_is_unacknowledged(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    put(outbox, 40)
    sent = await take(outbox, 22)  # half of the memory, in batches of a body and 512 bytes
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.next(), 0.1)
    waiting = asyncio.create_task(outbox.next())
    ack(outbox, *sent[:3])
    assert (await waiting).seq == len(sent) + 1


async def test_losses_ride_with_the_next_batch(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxConfig())
    outbox.lose(Loss(table="opens", reason=LossReason.RING_FULL, rows=7))
    outbox.put(TABLE, 1, b"x", "m", [Loss(table="opens", reason=LossReason.TRAP, rows=2)])
    (batch,) = await take(outbox, 1)
    assert {loss.reason: loss.rows for loss in batch.losses} == {LossReason.RING_FULL: 7, LossReason.TRAP: 2}


async def test_losses_without_a_batch_get_one(tmp_path: Path) -> None:
    async with Keeping(Outbox(tmp_path, OutboxConfig(), upkeep=QUICK)) as outbox:
        outbox.opened()
        outbox.lose(Loss(table="opens", reason=LossReason.RING_FULL, rows=7))
        batch = await outbox.next()
        assert (batch.rows, batch.table, batch.body, batch.losses[0].rows) == (0, "", b"", 7)


async def test_memory_full_counts_and_never_blocks(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL, upkeep=QUICK)
    put(outbox, 200)
    assert outbox.memory_bytes <= SMALL.memory_bytes
    outbox.opened()
    async with Keeping(outbox):
        assert tally(await drain(outbox)).total() == 2000


async def test_pressure_spills_the_oldest_and_everything_arrives_in_order(tmp_path: Path) -> None:
    async with Keeping(Outbox(tmp_path, SMALL, upkeep=QUICK)) as outbox:
        for _ in range(20):
            await until(lambda: outbox.memory_bytes <= SMALL.memory_bytes // 2)
            put(outbox, 10)
        assert outbox.disk_bytes > 0
        assert outbox.memory_bytes <= SMALL.memory_bytes
        outbox.opened()
        batches = await drain(outbox)
        assert [batch.seq for batch in batches] == sorted(batch.seq for batch in batches)
        assert tally(batches) == {"arrived": 2000}
        assert files(tmp_path, "spill") == []


async def test_a_batch_acknowledged_while_it_is_spilled_is_forgotten_on_disk_too(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxConfig(), upkeep=QUICK)
    put(outbox, 3)
    batches = await take(outbox, 3)
    await outbox.close()
    assert len(files(tmp_path, "spill")) == 1
    ack(outbox, *batches[:2])
    outbox.rewind()
    (again,) = await take(outbox, 1)
    assert (again.seq, again.floor) == (3, 1)
    ack(outbox, again)
    async with Keeping(outbox):
        await until(lambda: outbox.empty)
    assert files(tmp_path, "spill") == []


async def test_a_restart_keeps_what_was_spilled_and_never_uses_an_id_twice(tmp_path: Path) -> None:
    first = Outbox(tmp_path, OutboxConfig())
    put(first, 5)
    first.lose(Loss(table="opens", reason=LossReason.TRAP, rows=3))
    await first.close()
    second = Outbox(tmp_path, OutboxConfig())
    assert second.epoch == first.epoch
    put(second, 2)
    batches = await take(second, 8)
    assert [batch.seq for batch in batches[:6]] == [1, 2, 3, 4, 5, 6]
    assert batches[6].seq > 1 << 32
    assert {batch.floor for batch in batches} == {1}
    assert tally(batches) == {"arrived": 70, "trap": 3}


@pytest.mark.parametrize("content", [b"", b"rubbish", b'{"epoch": 3}'])
async def test_a_damaged_name_gives_a_new_name(tmp_path: Path, content: bytes) -> None:
    first = Outbox(tmp_path, OutboxConfig())
    put(first)
    await first.close()
    (tmp_path / "epoch").write_bytes(content)
    second = Outbox(tmp_path, OutboxConfig())
    assert second.epoch != first.epoch
    put(second)
    old, new = await take(second, 2)
    assert (old.epoch, new.epoch) == (first.epoch, second.epoch)


async def test_a_rotten_segment_is_counted_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    first = Outbox(tmp_path, OutboxConfig())
    for _ in range(3):
        put(first, 2)
        await first.close()
    rotten = files(tmp_path, "spill")[1]
    rotten.write_bytes(rotten.read_bytes()[:1500])
    second = Outbox(tmp_path, OutboxConfig())
    batches = await take(second, 5)
    assert tally(batches) == {"arrived": 40, "corrupt": 20}
    third = Outbox(
        tmp_path, OutboxConfig(), upkeep=QUICK
    )  # killed before the acknowledgement: the same ids, the same count
    again = await take(third, 5)
    assert [(batch.epoch, batch.seq, batch.rows) for batch in again] == [
        (batch.epoch, batch.seq, batch.rows) for batch in batches
    ]
    ack(third, *again)
    async with Keeping(third):
        await until(lambda: third.empty)
    assert files(tmp_path, "spill") == []
    assert len(files(tmp_path, "damaged")) == 1


async def test_a_full_disk_budget_drops_the_newest_and_counts_them(tmp_path: Path) -> None:
    config = OutboxConfig(memory_bytes=32 * KIB, disk_bytes=64 * KIB)
    async with Keeping(Outbox(tmp_path, config, upkeep=QUICK)) as outbox:
        for _ in range(40):
            put(outbox, 5)
            await asyncio.sleep(0.005)
        assert outbox.disk_bytes <= config.disk_bytes
        outbox.opened()
        counts = tally(await drain(outbox))
        assert counts["queue_full"] > 0
        assert counts.total() == 2000


async def test_old_segments_are_dropped_and_counted(tmp_path: Path) -> None:
    clock = [1e9]
    outbox = Outbox(tmp_path, OutboxConfig(max_age_s=60.0), upkeep=QUICK, now=lambda: clock[0])
    put(outbox, 4)
    await outbox.close()
    clock[0] = 1e12
    async with Keeping(outbox):
        await until(lambda: not outbox.disk_bytes)
        outbox.opened()
        assert tally(await drain(outbox)) == {"too_old": 40}


async def test_what_was_acknowledged_of_an_old_segment_is_not_counted_as_lost(tmp_path: Path) -> None:
    clock = [1e9]
    outbox = Outbox(tmp_path, OutboxConfig(max_age_s=60.0), upkeep=QUICK, now=lambda: clock[0])
    put(outbox, 4)
    await outbox.close()
    outbox.opened()
    ack(outbox, *(await take(outbox, 4))[:3])
    outbox.closed()
    clock[0] = 1e12
    async with Keeping(outbox):
        await until(lambda: not outbox.disk_bytes)
        outbox.opened()
        assert tally(await drain(outbox)) == {"too_old": 10}


async def test_the_floor_rises_only_when_the_segment_is_off_the_disk_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, OutboxConfig())
    put(outbox, 2)
    await outbox.close()
    put(outbox)
    synced: list[list[Path]] = []
    monkeypatch.setattr(spill_module, "sync_folder", lambda folder: synced.append(files(folder, "spill")))
    ack(outbox, *await take(outbox, 2))
    (batch,) = await take(outbox, 1)
    assert synced == [[]]
    assert batch.floor == batch.seq


async def test_an_upkeep_cancelled_while_it_writes_leaves_one_copy_of_each_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, gate = threading.Event(), threading.Event()
    write = SpillFolder.write

    def slow(self: SpillFolder, batches: Sequence[TelemetryBatch]) -> Segment:
        writing.set()
        gate.wait(10)
        return write(self, batches)

    monkeypatch.setattr(SpillFolder, "write", slow)
    outbox = Outbox(tmp_path, OutboxConfig(), upkeep=SPILLING_SOON)
    put(outbox, 3)
    async with Keeping(outbox):
        await asyncio.to_thread(writing.wait, 10)
    closing = asyncio.create_task(outbox.close())
    put(outbox)
    gate.set()
    await closing
    assert tally(await take(Outbox(tmp_path, OutboxConfig()), 4)) == {"arrived": 40}
    assert sum(int(path.name.split(".")[4]) for path in files(tmp_path, "spill")) == 40


async def test_while_the_server_is_away_batches_go_to_disk_soon(tmp_path: Path) -> None:
    async with Keeping(Outbox(tmp_path, OutboxConfig(), upkeep=SPILLING_SOON)) as outbox:
        put(outbox, 3)
        await until(lambda: outbox.disk_bytes and not outbox.memory_bytes)
        assert sum(int(path.name.split(".")[4]) for path in files(tmp_path, "spill")) == 30


async def test_many_producers(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxConfig())
    producers: list[Callable[[], None]] = [lambda: put(outbox, 50, rows=1, size=10)] * 8
    threads = [threading.Thread(target=produce) for produce in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batches = await drain(outbox)
    assert [batch.seq for batch in batches] == list(range(1, 401))
