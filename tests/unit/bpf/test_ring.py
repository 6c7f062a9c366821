"""The ring reader with a ring buffer built by hand: every state of a record."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.bpf.errors import MapError
from quarterdeck.bpf.ring import RingBuffer

PAGE = mmap.PAGESIZE
SIZE = PAGE
BUSY, DISCARDED = 1 << 31, 1 << 30


class HandMade:
    """A file with the layout of the kernel's ring buffer, with its data area twice."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.truncate(self.fd, 2 * PAGE + 2 * SIZE)
        self._memory = mmap.mmap(self.fd, 0)
        self.position = 0

    def start_at(self, position: int) -> None:
        self.position = position
        struct.pack_into("=Q", self._memory, 0, position)
        struct.pack_into("=Q", self._memory, PAGE, position)

    def write(self, payload: bytes, flags: int = 0) -> None:
        record = struct.pack("=II", len(payload) | flags, 0) + payload + bytes(-len(payload) % 8)
        for index, byte in enumerate(record):
            at = (self.position + index) % SIZE
            self._memory[2 * PAGE + at] = self._memory[2 * PAGE + SIZE + at] = byte
        self.position = (self.position + len(record)) % (1 << 64)
        struct.pack_into("=Q", self._memory, PAGE, self.position)

    def consumed(self) -> int:
        return struct.unpack_from("=Q", self._memory, 0)[0]

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


@pytest.fixture
def made() -> Iterator[HandMade]:
    ring = HandMade()
    yield ring
    ring.close()


def payloads(ring: RingBuffer) -> list[bytes]:
    records = ring.records()
    found = [bytes(records.data[o : o + s]) for o, s in zip(records.offsets, records.sizes, strict=True)]
    ring.advance(records.nbytes)
    return found


def test_empty(made: HandMade) -> None:
    with RingBuffer(made.fd, SIZE) as ring:
        assert payloads(ring) == []
        assert ring.fill_bytes == 0


def test_equal_records_stop_before_the_one_being_written(made: HandMade) -> None:
    for number in range(4):
        made.write(bytes([number] * 12), BUSY if number == 2 else 0)
    with RingBuffer(made.fd, SIZE) as ring:
        assert payloads(ring) == [bytes([0] * 12), bytes([1] * 12)]
        assert payloads(ring) == []
        assert made.consumed() == 48


def test_unequal_records_stop_before_the_one_being_written(made: HandMade) -> None:
    for size, flags in ((3, 0), (9, DISCARDED), (17, 0), (5, BUSY), (4, 0)):
        made.write(bytes([size] * size), flags)
    with RingBuffer(made.fd, SIZE) as ring:
        assert payloads(ring) == [bytes([3] * 3), bytes([17] * 17)]
        assert made.consumed() == 16 + 24 + 32
        assert payloads(ring) == []


def test_only_discarded_records_still_make_room(made: HandMade) -> None:
    for _ in range(5):
        made.write(b"12345678", DISCARDED)
    with RingBuffer(made.fd, SIZE) as ring:
        assert payloads(ring) == []
        assert ring.fill_bytes == 0


def test_positions_wrap_at_64_bits(made: HandMade) -> None:
    made.start_at((1 << 64) - 32)
    for number in range(6):
        made.write(bytes([number] * 8))
    with RingBuffer(made.fd, SIZE) as ring:
        assert ring.fill_bytes == 96
        assert payloads(ring) == [bytes([number] * 8) for number in range(6)]
        assert made.consumed() == 64


def test_span_is_contiguous_where_the_ring_wraps(made: HandMade) -> None:
    made.start_at(SIZE - 24)
    made.write(b"A" * 40)
    with RingBuffer(made.fd, SIZE) as ring:
        address, nbytes = ring.span()
        assert nbytes == 48
        assert ctypes.string_at(address + 8, 40) == b"A" * 40
        assert bytes(ring.view()[8:48]) == b"A" * 40


def test_a_record_longer_than_the_limit_is_taken_whole(made: HandMade) -> None:
    made.write(b"x" * 200)
    made.write(b"y" * 200)
    with RingBuffer(made.fd, SIZE) as ring:
        assert len(ring.records(limit_bytes=10)) == 1


def test_wrong_size_is_refused(made: HandMade) -> None:
    with pytest.raises(MapError, match="is not a ring buffer of 1048576 bytes"):
        RingBuffer(made.fd, 1 << 20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    start=st.integers(0, 2 * SIZE).map(lambda n: n * 8),
    records=st.lists(st.tuples(st.binary(max_size=60), st.sampled_from([0, 0, 0, DISCARDED])), max_size=40),
    limit=st.integers(8, 3000),
)
def test_everything_written_is_read(start: int, records: list[tuple[bytes, int]], limit: int) -> None:
    made = HandMade()
    made.start_at(start)
    for payload, flags in records:
        made.write(payload, flags)
    taken: list[bytes] = []
    with RingBuffer(made.fd, SIZE) as ring:
        while ring.fill_bytes:
            found = ring.records(limit_bytes=limit)
            assert found.nbytes > 0
            taken += [bytes(found.data[o : o + s]) for o, s in zip(found.offsets, found.sizes, strict=True)]
            if len(found):
                assert found.rows(16).dtype == np.uint8
            ring.advance(found.nbytes)
            del found
    assert taken == [payload for payload, flags in records if not flags]
    made.close()
