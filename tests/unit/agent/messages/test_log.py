"""The log: a bounded queue in front of the store; messages are stored and forwarded, or counted."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quarterdeck.agent.messages.file import MessageFile, Readings
from quarterdeck.agent.messages.lines import LineParser
from quarterdeck.agent.messages.log import SOURCE_BYTES, MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.messages.store import MessageStore
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.messages import Level, LogLevels, Message, MessageFilter, MessagePage
from quarterdeck.model.tables import Table
from tests.support import until

USUAL = Routing.of(LogLevels())
SMALL = 256 * 1024


class Disk:
    """Lets the store append only while it has space."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.tries = 0
        append = MessageStore.append

        def guarded(store: MessageStore, runs: Sequence[Run], readings: Readings) -> None:
            self.tries += 1
            if self.full and runs:
                raise StorageFull
            append(store, runs, readings)

        monkeypatch.setattr(MessageStore, "append", guarded)


class SlowSearch:
    """Blocks readers of a file, the current one or a full one, until `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, current: bool) -> None:
        self._began = threading.Event()
        self._go = threading.Event()
        select = MessageFile.select

        def slow(file: MessageFile, wanted: MessageFilter, *, cursor: int | None) -> Iterator[tuple[int, Message]]:
            if (file.path.name == "current.db") is current:
                self._began.set()
                self._go.wait()
            return select(file, wanted, cursor=cursor)

        monkeypatch.setattr(MessageFile, "select", slow)

    async def began(self) -> None:
        await until(self._began.is_set)

    def go(self) -> None:
        self._go.set()


@asynccontextmanager
async def searching(
    log: MessageLog, wanted: MessageFilter, search: SlowSearch
) -> AsyncIterator[asyncio.Task[MessagePage]]:
    """Run the body while reading is blocked, then continue."""
    looking = asyncio.create_task(log.select(wanted))
    try:
        await search.began()
        yield looking
    finally:
        search.go()
        await asyncio.gather(looking, return_exceptions=True)


def run(stream: bytes, job: str = "job") -> Run:
    return Run.of(Source(job), LineParser(Level.STDOUT).feed(stream), epoch_ms=1000)


class Forwarded(list[int]):
    """Return the number of rows of each batch, and of lost rows by reason."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = Counter[LossReason]()

    def emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        self.append(rows)

    def lose(self, loss: Loss) -> None:
        assert loss.table == "messages"
        self.lost[loss.reason] += loss.rows


@asynccontextmanager
async def opened(folder: Path, forwarded: Forwarded | None = None, **limits: int) -> AsyncIterator[MessageLog]:
    sink = Forwarded() if forwarded is None else forwarded
    log = MessageLog(folder, outlet=Outlet(emit=sink.emit, lose=sink.lose), retry_s=0.01, **limits)
    keeping = asyncio.create_task(log.keep())
    try:
        yield log
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await log.close()


async def fill(log: MessageLog, count: int) -> None:
    """Put messages of 1 kB, of which a small file takes about 200."""
    for _ in range(count // 50):
        await log.put(run((b"x" * 1000 + b"\n") * 50), USUAL)
        await log.flush()


def full_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.db"))


async def texts(log: MessageLog, **wanted: str) -> list[str]:
    return [message.data for message in (await log.select(MessageFilter(**wanted))).messages]  # type: ignore[arg-type]


async def test_what_is_put_can_be_found_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.put(run(b"one\n7::two\n"), USUAL)
        page = await log.select(MessageFilter())
        assert [(message.id, message.level, message.data) for message in page.messages] == [
            (0, 1, "one"),
            (1, 7, "two"),
        ]
        assert await log.delete(MessageFilter(levels="7")) == 1
        assert await texts(log) == ["one"]


async def test_levels_say_what_is_kept_and_forwarded(tmp_path: Path) -> None:
    forwarded = Forwarded()
    async with opened(tmp_path, forwarded) as log:
        await log.put(run(b"out\n10::a:1|c\n7::warn\n8::bad\n"), USUAL)
        await log.put(run(b"11::debug\n"), Routing.of(LogLevels(loglevels="1-9")))
        assert await texts(log) == ["out", "warn", "bad"]
        await until(lambda: forwarded)
    assert forwarded == [2]


async def test_messages_are_stored_without_being_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.put(run(b"one\n"), USUAL)
        await until(lambda: log.stored)


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_told_to_end_as_messages_come_ends(tmp_path: Path, turns: int) -> None:
    log = MessageLog(tmp_path, outlet=Outlet(emit=Forwarded().emit, lose=Forwarded().lose))
    keeping = asyncio.create_task(log.keep())
    await asyncio.sleep(0)
    await log.put(run(b"one\n"), USUAL)
    for _ in range(turns):
        await asyncio.sleep(0)
    keeping.cancel()
    await until(keeping.done)
    assert await texts(log) == ["one"]
    await log.close()


async def test_close_stores_and_forwards_what_waits(tmp_path: Path) -> None:
    forwarded = Forwarded()
    log = MessageLog(tmp_path, outlet=Outlet(emit=forwarded.emit, lose=forwarded.lose))
    await log.put(run(b"one\n9::two\n"), USUAL)
    await log.close()
    assert forwarded == [1]
    async with opened(tmp_path) as log:
        assert await texts(log) == ["one", "two"]
        await log.put(run(b"three\n"), USUAL)
        assert [message.id for message in (await log.select(MessageFilter())).messages] == [0, 1, 2]


async def test_who_puts_waits_while_the_queue_is_full(tmp_path: Path) -> None:
    log = MessageLog(tmp_path, outlet=Outlet(emit=Forwarded().emit, lose=Forwarded().lose), queue_bytes=1000)
    await log.put(run(b"x" * 2000 + b"\n"), USUAL)
    waiting = asyncio.create_task(log.put(run(b"second\n"), USUAL))
    await asyncio.sleep(0)
    assert not waiting.done()
    await log.flush()
    await waiting
    await log.close()
    assert log.dropped == 0


async def test_a_full_disk_stops_nobody_and_what_is_dropped_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    forwarded = Forwarded()
    async with opened(tmp_path, forwarded, queue_bytes=10_000) as log:
        disk.full = True
        for number in range(40):
            await log.put(run(b"7::" + b"%04d" % number + b"x" * 1000 + b"\n", job=f"job{number % 2}"), USUAL)
            await log.flush()
        assert 0 < log.dropped < 40
        disk.full = False
        await until(lambda: log.stored)
        await log.put(run(b"after\n"), USUAL)
        found = await texts(log)
        said = await texts(log, levels="8", job_id="job1")
    assert len(found) == 40 - log.dropped + 2 + 1
    assert [text[:4] for text in found[:5]] == ["0000", "0001", "0002", "0003", "0004"]
    assert said == [f"{log.dropped // 2} messages were dropped here: the disk took no more."]
    assert sum(forwarded) == 40
    assert forwarded.lost == {LossReason.DISK_FULL: log.dropped}


@pytest.mark.parametrize("seed", range(5))
async def test_a_message_that_comes_while_the_disk_is_writable_is_never_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance, disk = random.Random(seed), Disk(monkeypatch)
    async with opened(tmp_path, queue_bytes=10_000) as log:
        for number in range(80):
            disk.full = chance.random() < 0.8
            dropped = log.dropped
            size = chance.choice((1, 500, 3000, 12_000))
            await log.put(run(b"7::%04d" % number + b"x" * size + b"\n"), USUAL)
            await log.flush()
            assert disk.full or log.dropped == dropped
        disk.full = False
        await log.put(run(b"7::last\n"), USUAL)
        assert 0 < log.dropped < 80
        assert len(await texts(log, levels="7")) == 81 - log.dropped


async def test_what_waits_for_a_full_disk_is_stored_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path) as log:
        disk.full = True
        await log.put(run(b"one\n"), USUAL)
        await until(lambda: disk.tries > 2)
        disk.full = False
        await until(lambda: log.stored)
        assert await texts(log) == ["one"]
    assert log.dropped == 0


async def test_how_far_a_process_was_read_is_stored_with_its_messages(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.put(run(b"one\n", "a"), USUAL, reading=b"first")
        await log.put(run(b"two\n", "b"), USUAL, reading=b"second")
        await log.put(run(b"", "a"), USUAL, reading=b"third")
        await log.put(run(b"", "b"), USUAL, reading=None)
        assert await log.readings() == {"a": b"third"}
    async with opened(tmp_path) as log:
        assert await log.readings() == {"a": b"third"}


@pytest.mark.parametrize("text", ["", "nothing has this"])
async def test_messages_are_stored_while_somebody_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    async with opened(tmp_path) as log:
        await log.put(run(b"one\n"), USUAL)
        await log.flush()
        async with searching(log, MessageFilter(text=text), SlowSearch(monkeypatch, current=True)) as looking:
            await log.put(run(b"two\n"), USUAL)
            await log.flush()
            assert log.stored == 2
        page = await looking
        assert [message.data for message in page.messages] == ([] if text else ["one"])
        assert await texts(log, cursor=page.resume) == ["two"]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_page_is_of_one_state_though_files_are_renamed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    async with opened(tmp_path, file_bytes=SMALL) as log:
        await fill(log, 500)
        wanted = MessageFilter(newest_first=newest_first)
        async with searching(log, wanted, SlowSearch(monkeypatch, current=False)) as looking:
            files = full_files(tmp_path)
            await fill(log, 400)
            assert len(full_files(tmp_path)) > len(files)
        page = await looking
        assert sorted(message.id for message in page.messages) == list(range(500))
        after = await log.select(MessageFilter(cursor=page.resume))
        assert [message.id for message in after.messages] == list(range(500, 900))


async def test_nothing_disappears_from_a_page_that_is_being_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, file_bytes=SMALL) as log:
        await fill(log, 500)
        async with searching(log, MessageFilter(), SlowSearch(monkeypatch, current=False)) as looking:
            deleting = asyncio.create_task(log.delete(MessageFilter()))
            await log.flush()
        assert len((await looking).messages) == 500
        assert await deleting == 500
        assert await texts(log) == []


async def test_what_is_found_to_be_damaged_is_set_aside_and_the_rest_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path, file_bytes=SMALL) as log:
        await fill(log, 500)
        first, *_ = full_files(tmp_path)
        first.write_bytes(b"no database")
        page = await log.select(MessageFilter())
        assert 0 < len(page.messages) < 500
        assert page.messages[-1].id == 499
        assert first.name in page.problems[0]
        assert "set aside" in page.problems[0]
        await log.put(run(b"one\n"), USUAL)
        assert await texts(log, cursor=page.resume) == ["one"]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_are_in_order_and_whole_while_files_fill_and_the_oldest_go(
    tmp_path: Path, newest_first: bool
) -> None:
    forwarded = Forwarded()
    async with opened(tmp_path, forwarded, file_bytes=SMALL, total_bytes=4 * SMALL) as log:
        filling = asyncio.create_task(fill(log, 10_000))
        pages = 0
        while not filling.done() or not pages:
            page = await log.select(MessageFilter(newest_first=newest_first))
            assert all("were evicted: the node's store was full" in problem for problem in page.problems)
            ids = [message.id for message in page.messages]
            if newest_first:
                assert ids == list(range(int(page.resume) - 1, int(page.resume) - 1 - len(ids), -1))
            else:
                assert ids == sorted(set(ids))
            pages += 1
        await filling
        assert log.removed > 0
    assert forwarded.lost == {LossReason.EVICTED: log.removed}


async def test_a_source_that_prints_very_much_waits_and_delays_no_other(tmp_path: Path) -> None:
    flood = run(b"y\n" * 8192, "flood")
    async with opened(tmp_path, queue_bytes=2 * SOURCE_BYTES) as log:
        async with log._writing:  # the disk is slow
            flooding = [asyncio.create_task(log.put(flood, USUAL)) for _ in range(20)]
            await until(lambda: sum(task.done() for task in flooding) >= 3)
            await log.put(run(b"hi\n", "other"), USUAL)
            assert sum(task.done() for task in flooding) == 3
        assert await texts(log, job_id="other") == ["hi"]
        await asyncio.gather(*flooding)
        await log.flush()
        assert log.stored == 20 * 8192 + 1


async def test_a_flood_that_never_ends_can_be_read_and_flushed(tmp_path: Path) -> None:
    flood = run(b"y\n" * 8192, "flood")
    over = False

    async def print_on(log: MessageLog) -> None:
        while not over:
            await log.put(flood, USUAL)

    async with opened(tmp_path) as log:
        flooding = [asyncio.create_task(print_on(log)) for _ in range(3)]
        page = await log.select(MessageFilter(job_id="flood"))
        for _ in range(20):
            assert {message.data for message in page.messages} <= {"y"}
            following = await log.select(MessageFilter(job_id="flood", cursor=page.resume))
            assert following.messages[0].place == page.messages[-1].place + 1
            page = following
        await log.flush()
        await log.select(MessageFilter(newest_first=True))
        over = True
        await asyncio.gather(*flooding)
