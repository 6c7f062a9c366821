"""The backlog: everything in order or counted as lost, within its bounds, after a crash too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from quarterdeck.keeper.backlog import (
    ADOPTED,
    CROWDED_LEAST_BYTES,
    CROWDED_MOST_BYTES,
    LOST,
    PIECE_BYTES,
    PUT_BYTES,
    WAIT_S,
    WINDOW_BYTES,
    WINDOW_RECORDS,
    Backlog,
    Record,
)

CHUNK = 16 * 1024


def taken(backlog: Backlog) -> list[Record]:
    """Everything, acknowledged as it comes."""
    records: list[Record] = []
    while (record := backlog.next()) is not None:
        backlog.acknowledge(record.seq)
        records.append(record)
    return records


def chunks(count: int) -> list[bytes]:
    return [b"%08d" % n * (CHUNK // 8) for n in range(count)]


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) if folder.exists() else 0


def test_a_small_backlog_stays_in_memory(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 1 << 20)
    backlog.put(1, b"out")
    backlog.put(2, b"err")
    backlog.put(1, b"more")
    assert not (tmp_path / "a").exists()
    records = taken(backlog)
    assert [(each.seq, each.stream, each.offset, each.data) for each in records] == [
        (1, 1, 0, b"out"),
        (2, 2, 0, b"err"),
        (3, 1, 3, b"more"),
    ]
    assert backlog.acknowledged


def test_a_large_backlog_is_kept_in_files_that_are_removed_when_acknowledged(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(50):
        backlog.put(1, chunk)
    assert on_disk(tmp_path / "a") == backlog.disk_bytes > 0
    records = taken(backlog)
    assert b"".join(record.data for record in records) == b"".join(chunks(50))
    assert [record.seq for record in records] == list(range(1, 51))
    assert (on_disk(tmp_path / "a"), backlog.disk_bytes) == (0, 0)
    backlog.remove()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("size", [1, 100, CHUNK])
def test_the_disk_is_bounded_and_what_goes_is_counted(tmp_path: Path, size: int) -> None:
    limit = 4 * PIECE_BYTES
    backlog = Backlog(str(tmp_path / "a"), limit)
    put: Counter[int] = Counter()
    for n in range(3 * limit // (size + 20)):
        backlog.put(1 + n % 2, bytes([n % 251]) * size)
        put[1 + n % 2] += size
        if n % 500 == 0:
            assert on_disk(tmp_path / "a") <= limit
    assert on_disk(tmp_path / "a") == backlog.disk_bytes <= limit
    first, *rest = taken(backlog)
    assert (first.stream, first.why) == (LOST, f"more than {limit} bytes waited for the agent")
    assert LOST not in {record.stream for record in rest}  # losses side by side are one
    told: Counter[int] = Counter({1: first.counts[0], 2: first.counts[1]})
    seen = first.seq
    for record in rest:
        assert record.offset == told[record.stream]  # lost bytes counted
        told[record.stream] += len(record.data)
        assert record.seq == seen + 1
        seen = record.seq
    assert told == put


def test_small_bits_become_few_records(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 1 << 20)
    for n in range(10_000):
        backlog.put(1, b"%d" % (n % 10))
    records = taken(backlog)
    assert len(records) < 10
    assert b"".join(record.data for record in records) == b"0123456789" * 1000


def test_a_record_that_was_sent_is_not_extended(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 1 << 20)
    backlog.put(1, b"one")
    first = backlog.next()
    backlog.put(1, b"two")
    second = backlog.next()
    assert first is not None
    assert second is not None
    assert (first.data, second.data, second.seq) == (b"one", b"two", 2)


def test_not_more_than_the_window_is_sent_unacknowledged(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(40):
        backlog.put(1, chunk)
    sent: list[Record] = []
    while (record := backlog.next()) is not None:
        sent.append(record)
    assert sum(len(record.data) for record in sent) == WINDOW_BYTES
    assert not backlog.empty
    backlog.acknowledge(sent[0].seq)
    following = backlog.next()
    assert following is not None
    assert following.seq == sent[-1].seq + 1


def test_small_records_fill_the_window_too(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    for n in range(2 * WINDOW_RECORDS):
        backlog.put(1 + n % 2, b".")
    for _ in range(WINDOW_RECORDS):
        assert backlog.next() is not None
    assert backlog.next() is None
    assert not backlog.empty


def test_what_was_not_acknowledged_is_told_again_with_the_same_numbers(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(12):
        backlog.put(1, chunk)
    for _ in range(6):
        backlog.next()
    backlog.acknowledge(2)
    backlog.rewind()
    assert [(record.seq, record.data) for record in taken(backlog)] == list(enumerate(chunks(12), 1))[2:]


def test_the_next_keeper_tells_what_was_on_disk_and_uses_no_number_twice(tmp_path: Path) -> None:
    crashed = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(10):
        crashed.put(1, chunk)
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    backlog.adopt()
    assert backlog.disk_bytes == on_disk(tmp_path / "a")
    backlog.put(1, b"new")
    *old, new = taken(backlog)
    assert old
    assert [(record.seq, record.data) for record in old] == list(enumerate(chunks(len(old)), 1))
    assert (new.data, new.offset) == (b"new", len(old) * CHUNK)
    assert new.seq > ADOPTED
    backlog.remove()
    assert not (tmp_path / "a").exists()


def test_a_file_that_was_cut_gives_its_whole_records(tmp_path: Path) -> None:
    crashed = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(4):
        crashed.put(1, chunk)
    (piece,) = (tmp_path / "a").iterdir()
    piece.write_bytes(piece.read_bytes()[:-1])
    (tmp_path / "a" / "2").touch()  # the crash came before anything was in it
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    backlog.adopt()
    assert [(record.seq, record.data) for record in taken(backlog)] == list(enumerate(chunks(3), 1))
    backlog.remove()
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_written_is_counted_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").touch()  # no folder can be made here
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(20):
        backlog.put(2, chunk)
    gone, *rest = taken(backlog)
    assert (gone.stream, gone.counts[0], backlog.disk_bytes) == (LOST, 0, 0)
    assert gone.why == "they could not be written to the disk (File exists)"
    assert gone.counts[1] + sum(len(record.data) for record in rest) == 20 * CHUNK
    assert rest[0].seq == gone.seq + 1


def test_a_file_that_vanishes_is_counted(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    for chunk in chunks(12):
        backlog.put(1, chunk)
    (tmp_path / "a" / "2").unlink()
    records = taken(backlog)
    (gone,) = (record for record in records if record.stream == LOST)
    assert gone.counts[0] > 0
    assert gone.why == "the file in which they waited cannot be read (No such file or directory)"
    assert sum(sum(record.counts) for record in records) == 12 * CHUNK
    assert [record.seq for record in records] == sorted({record.seq for record in records})


@pytest.mark.parametrize("many", [0, 20])
def test_what_was_not_acknowledged_is_spilled_for_the_next_keeper(tmp_path: Path, many: int) -> None:
    backlog = Backlog(str(tmp_path / "a"), 64 << 20)
    said = [b"first", *chunks(many), b"last"]
    for place, chunk in enumerate(said):
        backlog.put(1 + place % 2, chunk)
    first = backlog.next()
    second = backlog.next()
    assert first is not None
    assert second is not None
    backlog.acknowledge(first.seq)
    backlog.spill()
    next_one = Backlog(str(tmp_path / "a"), 64 << 20)
    next_one.adopt()
    records = taken(next_one)
    assert [each.data for each in records] == said[1:]
    assert [each.seq for each in records] == list(range(2, len(said) + 1))


def test_what_was_lost_is_counted_by_the_next_keeper_too(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 4 * PIECE_BYTES)
    for place, chunk in enumerate(chunks(100)):
        backlog.put(1 + place % 2, chunk)
    backlog.spill()
    next_one = Backlog(str(tmp_path / "a"), 4 * PIECE_BYTES)
    next_one.adopt()
    gone, *rest = taken(next_one)
    assert gone.stream == LOST
    told = Counter({1: gone.counts[0], 2: gone.counts[1]})
    for record in rest:
        assert (record.seq > gone.seq, record.offset) == (True, told[record.stream])
        told[record.stream] += len(record.data)
    assert told == {1: 50 * CHUNK, 2: 50 * CHUNK}


@pytest.mark.parametrize("bytes_a_second", [10_000, 100_000, 500_000, 2_000_000, 50_000_000])
def test_what_waits_for_a_connected_agent_is_little_for_its_speed(tmp_path: Path, bytes_a_second: int) -> None:
    now = 0.0
    backlog = Backlog(str(tmp_path / "a"), 8 << 20, clock=lambda: now)
    put = taken = most = 0
    while taken < 200 * CHUNK:
        while not backlog.crowded:  # a program without end
            size = backlog.wanted_bytes
            assert 0 < size <= PUT_BYTES
            backlog.put(1, b"x" * size)
            put += size
        if taken > 100 * CHUNK:  # the speed is known by then
            most = max(most, put - taken)
        record = backlog.next()
        assert record is not None, "a program that waits would wait for ever"
        now += len(record.data) / bytes_a_second
        taken += len(record.data)
        backlog.acknowledge(record.seq)
    assert most <= max(2 * CROWDED_LEAST_BYTES, 2 * WAIT_S * bytes_a_second)
    assert most <= CROWDED_MOST_BYTES + CROWDED_LEAST_BYTES
    assert most >= min(CROWDED_MOST_BYTES / 2, WAIT_S * bytes_a_second / 4), "it is not slowed down without need"


def test_a_damaged_file_does_not_hold_up_the_program_for_ever(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path / "a"), 8 << 20)
    while not backlog.disk_bytes:
        backlog.put(1, b"x" * 1000 * 5)
    (file,) = (tmp_path / "a").iterdir()
    file.write_bytes(file.read_bytes()[:10_000])
    taken(backlog)
    assert not backlog.crowded
    backlog.put(1, b"more")
    assert not backlog.crowded
