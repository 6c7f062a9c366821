"""What programs send, read back from real ring and perf buffers: all of it, in order, with losses counted."""

from __future__ import annotations

import os
import select
import struct
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from quarterdeck.bpf import syscall
from quarterdeck.bpf.errors import MapError
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.perf import PerfBuffer
from quarterdeck.bpf.ring import RingBuffer

RING_BYTES = 1 << 16
EVENT = np.dtype([("number", "u8"), ("words", "u8", 7)])


class Counters(NamedTuple):
    sent: int
    lost: int


class Output:
    """The object `output`, loaded; `make` runs one of its producers."""

    def __init__(self, loaded: BpfObject) -> None:
        self._programs = loaded.programs
        self._counters = KernelMap(loaded.maps[".bss"].fd)
        self.ring_fd = loaded.maps["ring"].fd
        self.perf_fd = loaded.maps["perf"].fd

    def make(self, kind: str, count: int) -> Counters:
        """What has been sent and lost in all, after `count` more."""
        syscall.run_program(self._programs[f"make_{kind}"].fd, context=struct.pack("=Q", count))
        raw = self._counters.lookup(bytes(4))
        assert raw is not None
        return Counters(*struct.unpack_from("=QQ", raw.tobytes()))


@pytest.fixture
def output(opened: Callable[[str], BpfObject]) -> Output:
    loaded = opened("output")
    loaded.load()
    return Output(loaded)


def mixed_size(number: int) -> int:
    return 8 + (number * 7 & 0x1F)


def test_equal_records_come_as_a_view_and_wrap_around(output: Output) -> None:
    with RingBuffer(output.ring_fd, RING_BYTES) as ring:
        expected = 0
        for _ in range(7):  # seven times 500 × 72 bytes is several times round the ring
            output.make("fixed", 500)
            assert ring.fill_bytes == 500 * 72
            records = ring.records()
            rows = records.rows(64)
            assert rows.base is not None  # no copy
            events = rows.view(EVENT)[:, 0]
            assert (events["number"] == np.arange(expected, expected + 500)).all()
            assert (events["words"][:, 0] == ~events["number"]).all()
            expected += 500
            ring.advance(records.nbytes)
        assert ring.fill_bytes == 0
        assert len(ring.records()) == 0


def test_a_full_ring_loses_and_the_rest_is_whole(output: Output) -> None:
    with RingBuffer(output.ring_fd, RING_BYTES) as ring:
        counters = output.make("fixed", 5000)
        assert counters.sent + counters.lost == 5000
        assert counters.lost > 0
        assert len(ring.records()) == counters.sent


def test_limit_takes_whole_records(output: Output) -> None:
    with RingBuffer(output.ring_fd, RING_BYTES) as ring:
        output.make("fixed", 100)
        taken: list[int] = []
        while len(records := ring.records(limit_bytes=1000)):
            taken += records.rows(8).view(np.uint64)[:, 0].tolist()
            assert len(records) <= 13
            ring.advance(records.nbytes)
        assert taken == list(range(100))


def test_discarded_records_are_left_out_but_taken(output: Output) -> None:
    with RingBuffer(output.ring_fd, RING_BYTES) as ring:
        output.make("every_third_discarded", 300)
        records = ring.records()
        assert records.nbytes == 300 * 72
        numbers = records.rows(64).view(EVENT)[:, 0]["number"]
        assert numbers.tolist() == [n for n in range(300) if n % 3]


def test_mixed_records(output: Output) -> None:
    with RingBuffer(output.ring_fd, RING_BYTES) as ring:
        number = 0
        for _ in range(5):
            output.make("mixed", 1000)
            records = ring.records()
            assert records.sizes.tolist() == [mixed_size(n) for n in range(number, number + 1000)]
            assert records.rows(8).view(np.uint64)[:, 0].tolist() == list(range(number, number + 1000))
            assert (records.rows(64)[:, 8:] == 0).all()
            ring.advance(records.nbytes)
            assert ring.fill_bytes == 0
            number += 1000


def test_ring_can_be_waited_for_and_closed_while_looked_at(output: Output) -> None:
    ring = RingBuffer(output.ring_fd, RING_BYTES)
    waiter = select.epoll()
    waiter.register(ring.fileno(), select.EPOLLIN)
    assert not waiter.poll(0)
    output.make("fixed", 3)
    assert waiter.poll(1)
    rows = ring.records().rows(64)
    ring.close()
    assert rows.view(EVENT)[:, 0]["number"].tolist() == [0, 1, 2]
    waiter.close()


@pytest.mark.parametrize("kind", ["fixed", "mixed"])
def test_reading_while_it_is_written(output: Output, kind: str) -> None:
    with RingBuffer(output.ring_fd, RING_BYTES) as ring:
        writer = threading.Thread(target=lambda: [output.make(kind, 1000) for _ in range(100)])
        writer.start()
        got, last = 0, -1
        while writer.is_alive() or ring.fill_bytes:
            records = ring.records()
            numbers = records.rows(8).view(np.uint64)[:, 0].astype(np.int64)
            if len(numbers):
                assert numbers[0] > last
                assert (np.diff(numbers) > 0).all()
                last = int(numbers[-1])
                got += len(numbers)
            ring.advance(records.nbytes)
        counters = output.make(kind, 0)
        assert got == counters.sent
        assert counters.sent + counters.lost == 100_000


def test_what_is_no_ring_is_refused(output: Output) -> None:
    with pytest.raises(MapError, match="is not a ring buffer of 65536 bytes"):
        RingBuffer(output.perf_fd, RING_BYTES)


@pytest.mark.parametrize("kind", ["perf_fixed", "perf_mixed"])
def test_perf_records_of_one_cpu_in_order(output: Output, kind: str) -> None:
    os.sched_setaffinity(0, {syscall.online_cpus()[0]})
    try:
        with PerfBuffer(output.perf_fd, bytes_per_cpu=RING_BYTES) as perf:
            number = 0
            for _ in range(7):
                output.make(kind, 500)
                for ring in perf.rings:
                    while len(records := ring.records()):
                        count = len(records)
                        numbers = records.rows(8).view(np.uint64)[:, 0]
                        assert numbers.tolist() == list(range(number, number + count))
                        if kind == "perf_mixed":
                            sizes = np.array([mixed_size(n) for n in range(number, number + count)])
                            assert ((records.sizes >= sizes) & (records.sizes <= sizes + 7)).all()
                        number += count
                        ring.advance(records.nbytes)
            assert number == 3500
            assert perf.lost == 0
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


@pytest.mark.parametrize("kernel_counts", [True, False])
def test_perf_losses_are_exact(output: Output, kernel_counts: bool) -> None:
    with PerfBuffer(output.perf_fd, bytes_per_cpu=RING_BYTES) as perf:
        if not kernel_counts:  # what a kernel before 6.0 leaves us: the records about losses
            for ring in perf.rings:
                ring._counts_lost = False
        counters = output.make("perf_fixed", 3000)
        assert counters.lost > 0
        got = take_all(perf)
        counters = output.make("perf_fixed", 1)  # a loss is told with the next record
        got += take_all(perf)
        assert got == counters.sent
        if kernel_counts or len(perf.rings) == 1:
            assert perf.lost == counters.lost
        else:
            assert perf.lost in {0, counters.lost}  # the last record may have come from another CPU


def test_perf_ring_is_readable_when_half_full(output: Output) -> None:
    with PerfBuffer(output.perf_fd, bytes_per_cpu=RING_BYTES) as perf:
        waiter = select.epoll()
        waiter.register(perf.fileno(), select.EPOLLIN)
        output.make("perf_fixed", 10)
        assert not waiter.poll(0)
        output.make("perf_fixed", 3000)
        assert waiter.poll(1)
        waiter.close()


def take_all(perf: PerfBuffer) -> int:
    taken = 0
    for ring in perf.rings:
        while (records := ring.records()).nbytes:
            taken += len(records)
            ring.advance(records.nbytes)
    return taken
