"""The message store under faults: a full disk, damaged files, a kill. It continues, and reports its losses."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quarterdeck.agent.messages.ids import MessageIds
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.messages.store import MessageStore
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import LogLevels, Message, MessageFilter
from tests.disks import MB, SmallDisk
from tests.faults.conftest import MakeDisk
from tests.node_life import clean_up, life
from tests.support import until

SMALL = 256 * 1024

WRITER = """
    import sys
    from pathlib import Path
    from quarterdeck.agent.messages.ids import MessageIds
    from quarterdeck.agent.messages.runs import Run, Source
    from quarterdeck.agent.messages.store import MessageStore

    folder = Path(sys.argv[1])
    store = MessageStore(folder, file_bytes=256 * 1024)
    ids = MessageIds(folder / "next_id", last_stored=store.last_id)
    while True:
        numbers = ids.take(100)
        store.append([Run(Source("job"), 1, [1] * 100, [b"x" * 100] * 100, [0] * 100, numbers)])
        print(numbers[-1], flush=True)
"""


def run(count: int, *, first: int = 0, size: int = 100) -> Run:
    return Run(Source("job"), 1, [1] * count, [b"x" * size] * count, [0] * count, range(first, first + count))


def fill(store: MessageStore, *, files: int) -> int:
    """Append until there are `files` full files; return the number of messages."""
    count = 0
    while len(list(store_files(store))) <= files:
        store.append([run(500, first=count)])
        count += 500
    return count


def append_until_full(store: MessageStore, *, first: int) -> int:
    """Append until the disk is full; return the number of the first message that was refused."""
    while True:
        try:
            store.append([run(100, first=first)])
        except StorageFull:
            return first
        first += 100


def store_files(store: MessageStore) -> list[Path]:
    return sorted(store._folder.glob("*.db"))


def everything(store: MessageStore) -> tuple[list[Message], list[str]]:
    """Return all messages, and the problems of reading them."""
    found: list[Message] = []
    problems: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = store.select(MessageFilter(cursor=cursor))
        found += page.messages
        problems += page.problems
        cursor = page.cursor
    return found, problems


@pytest.fixture
def disk(small_disk: MakeDisk, tmp_path: Path) -> SmallDisk:
    return small_disk(tmp_path / "disk", 2 * MB)


def test_a_full_disk_refuses_a_batch_whole_and_takes_it_when_there_is_room(disk: SmallDisk) -> None:
    store = MessageStore(disk.folder / "messages")
    store.append([run(100)])
    disk.fill()
    appended = append_until_full(store, first=100)
    assert [message.id for message in everything(store)[0]] == list(range(appended))
    disk.clear()
    store.append([run(100, first=appended)])
    store.close()
    found, problems = everything(MessageStore(disk.folder / "messages"))
    assert [message.id for message in found] == list(range(appended + 100))
    assert problems == []


def test_a_disk_that_fills_up_while_files_are_renamed_loses_nothing(disk: SmallDisk) -> None:
    store = MessageStore(disk.folder / "messages", file_bytes=SMALL, total_bytes=64 * MB)
    appended = append_until_full(store, first=0)
    assert len(store_files(store)) > 3
    store.delete(MessageFilter(text="nothing at all has this"))
    store_files(store)[0].unlink()
    store.append([run(100, first=appended)])
    ids = [message.id for message in everything(store)[0]]
    assert ids == list(range(ids[0], appended + 100))
    assert store.counts.damaged == 0


def test_a_store_opens_on_a_full_disk_and_starts_when_there_is_room(disk: SmallDisk) -> None:
    folder = disk.folder / "messages"
    store = MessageStore(folder)
    store.append([run(10)])
    store.close()
    disk.fill()
    store = MessageStore(folder)
    assert store.last_id in (None, 9)
    with pytest.raises(StorageFull):
        store.append([run(500, first=10, size=4000)])
    disk.clear()
    store.append([run(10, first=10)])
    assert [message.id for message in everything(store)[0]] == list(range(20))


async def test_processes_go_on_while_the_disk_is_full_and_the_log_says_what_is_missing(disk: SmallDisk) -> None:
    log = MessageLog(disk.folder / "messages", outlet=Outlet(emit=lambda *_: None, lose=lambda _: None), queue_bytes=MB)
    disk.fill()
    routing = Routing.of(LogLevels())
    for number in range(4000):
        await log.put(Run(Source("job"), 1, [1], [b"%d " % number + b"x" * 1000], [0]), routing)
        if number % 100 == 99:
            await log.flush()
    assert log.dropped > 0
    page = await log.select(MessageFilter())
    assert "wait in memory" in page.problems[-1]
    disk.clear()
    await log.put(Run(Source("job"), 1, [1], [b"after"], [0]), routing)
    await log.flush()
    last = (await log.select(MessageFilter(newest_first=True, limit=2))).messages
    assert "after" in {message.data for message in last}
    assert f"{log.dropped} messages were dropped here: the disk took no more." in {message.data for message in last}
    assert log.stored == 4000 - log.dropped + 2
    await log.close()


async def test_what_an_agent_took_and_could_not_store_before_it_was_killed_is_said_to_be_lost(
    small_disk: MakeDisk, tmp_path: Path
) -> None:
    home = tmp_path / "node"
    disk = small_disk(home / "messages", 2 * MB)
    for name in ("go", "go-on"):
        os.mkfifo(home / name)
    script = "echo before; read _ < go; head -c 3000000 /dev/zero | tr '\\0' x; echo; read _ < go-on; echo after"
    try:
        async with life(home) as node:
            node.shell("job", script, workingdir=str(home))
            await node.printed("job", "before")
            disk.fill()
            await asyncio.to_thread((home / "go").write_text, "\n")
            (kept,) = node.processes.kept()
            await until(lambda: kept.output.heard[0] == 3_000_008)
            await node.messages.written()
            node.killed = True
        disk.clear()
        async with life(home) as node:
            await asyncio.to_thread((home / "go-on").write_text, "\n")
            assert (await node.server.result("job")).state is JobState.OK
            await node.printed("job", "bytes that it printed are lost")
            log = [message.data for message in await node.log("job")]
    finally:
        await clean_up(home)
    assert log[0] == "before"
    assert "after" in log
    (lost,) = [int(data.split()[0]) for data in log if "are lost" in data]
    assert lost + sum(data.count("x") for data in log) in {3_000_000, 3_000_001}


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 8192])
def test_a_damaged_current_file_is_set_aside_and_the_store_goes_on(tmp_path: Path, damage: bytes) -> None:
    store = MessageStore(tmp_path)
    store.append([run(10)])
    store.close()
    (tmp_path / "current.db").write_bytes(damage)
    store = MessageStore(tmp_path)
    store.append([run(10, first=50)])
    assert [message.id for message in everything(store)[0]] == list(range(50, 60))
    if damage:  # an empty file is an empty database
        assert store.counts.damaged == 1
        (aside,) = tmp_path.glob("*.damaged")
        assert aside.read_bytes() == damage


def test_a_file_damaged_while_it_is_open_is_set_aside(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append([run(20_000)])
    store.close()
    store = MessageStore(tmp_path)
    size = (tmp_path / "current.db").stat().st_size
    with (tmp_path / "current.db").open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))
    found, problems = everything(store)
    assert len(found) < 20_000
    assert "set aside" in problems[-1]
    store.append([run(10, first=30_000)])
    assert [message.id for message in everything(store)[0]] == list(range(30_000, 30_010))


def test_a_damaged_full_file_costs_its_own_messages_only(tmp_path: Path) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL)
    count = fill(store, files=4)
    second = store_files(store)[1]
    second.write_bytes(second.read_bytes()[:1000] + os.urandom(50_000))
    found, problems = everything(store)
    assert [problem for problem in problems if second.name in problem]
    ids = [message.id for message in found]
    assert 0 < len(ids) < count
    assert ids == sorted(ids)
    assert ids[0] == 0
    assert ids[-1] == count - 1
    again, problems = everything(store)
    assert again == found
    assert len(set(problems)) == store.counts.damaged == 1
    next(tmp_path.glob("*.damaged")).unlink()
    assert everything(store) == (found, [])


def test_who_follows_finds_what_comes_after_a_damaged_file(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append([run(10)])
    resume = store.select(MessageFilter()).resume
    store.close()
    (tmp_path / "current.db").write_bytes(b"no database")
    store = MessageStore(tmp_path)
    store.append([run(3, first=10)])
    assert [message.id for message in store.select(MessageFilter(cursor=resume)).messages] == [10, 11, 12]


@pytest.mark.parametrize("seed", range(8))
def test_bits_that_flip_anywhere_stop_nothing(tmp_path: Path, seed: int) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL)
    count = fill(store, files=3)
    store.close()
    chance = random.Random(seed)
    for path in tmp_path.glob("*.db"):
        content = bytearray(path.read_bytes())
        for _ in range(20):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    store = MessageStore(tmp_path, file_bytes=SMALL)
    everything(store)
    store.delete(MessageFilter(job_id="job"))
    store.append([run(10, first=count)])
    found, _ = everything(store)
    assert [message.id for message in found][-10:] == list(range(count, count + 10))


def test_few_damaged_files_are_kept(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / "current.db").write_bytes(b"no database %d" % number)
        store = MessageStore(tmp_path, now=lambda: float(number))  # noqa: B023
        store.append([run(1)])
        store.close()
    assert len(list(tmp_path.glob("*.damaged"))) == 3


def test_a_killed_writer_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    said = -1
    for _ in range(4):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _, line in zip(range(60), writer.stdout, strict=False):
                said = int(line)
            writer.send_signal(signal.SIGKILL)
            said = int((writer.stdout.read().split() or [said])[-1])
    store = MessageStore(tmp_path, file_bytes=SMALL)
    found, problems = everything(store)
    ids = [message.id for message in found]
    assert problems == []
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert said in ids
    assert len(store_files(store)) > 4
    assert MessageIds(tmp_path / "next_id", last_stored=store.last_id).take(1)[0] > ids[-1]
