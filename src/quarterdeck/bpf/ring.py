"""The BPF ring buffer, read straight from the memory it shares with the kernel (Linux 5.8).

It owns two mappings and the consumer's position. It returns whole spans, never single records: `records()` as arrays of
payloads, `span()` as address and length for an external walker. It never copies, blocks or calls back.

The shared memory is one page with the consumer's position (ours to write), then one page with the producer's position,
then the data, mapped twice in a row so that a span never wraps. A record is u32 length (bit 31: being written, bit 30:
discarded), u32 for the kernel, the payload, padding to 8 bytes. Positions are 64-bit byte counts that only grow
(Documentation/bpf/ringbuf.rst).

Ordering: the kernel publishes a record before its position, and this side must read the position before the record and
finish with the record before it moves its own position. x86-64 keeps loads and stores in that order. arm64 does not
guarantee it. There is no fence between the two loads here, but the interpreter executes thousands of instructions and
several locks between them, far more than a CPU reorders.

A reader with a timer (10 ms) costs less than one that waits: the kernel wakes a waiter each time the buffer was empty.
"""

from __future__ import annotations

import mmap
from types import TracebackType
from typing import Self

import numpy as np

from quarterdeck.bpf.errors import MapError
from quarterdeck.bpf.records import Bytes, Records, chain

HEADER_BYTES = 8
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_LENGTH = _DISCARDED - 1
_MIXED_SPAN_BYTES = 1 << 20  # most bytes of a span of unequal records that one call returns, to keep it short


class RingBuffer:
    """The reading end of a `BPF_MAP_TYPE_RINGBUF`; a context manager that closes it. One reader at a time."""

    def __init__(self, map_fd: int, size_bytes: int) -> None:
        page = mmap.PAGESIZE
        try:
            self._ours = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            self._theirs = mmap.mmap(map_fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except (OSError, ValueError) as error:
            raise MapError(f"fd {map_fd} is not a ring buffer of {size_bytes} bytes: {error}") from error
        self.size_bytes = size_bytes
        self._map_fd = map_fd
        self._consumer = memoryview(self._ours)[:8].cast("Q")
        self._producer = memoryview(self._theirs)[:8].cast("Q")
        self._data: Bytes = np.frombuffer(self._theirs, np.uint8, 2 * size_bytes, page)
        self._address = self._data.ctypes.data

    def fileno(self) -> int:
        """Return the map's fd, which is readable (select, epoll) when records are waiting."""
        return self._map_fd

    @property
    def fill_bytes(self) -> int:
        """Return the bytes between the two positions, which wait to be read."""
        return (self._producer[0] - self._consumer[0]) & 0xFFFF_FFFF_FFFF_FFFF

    def span(self) -> tuple[int, int]:
        """Return address and length of all waiting bytes, one contiguous chain of records.

        The end may still be being written: a walker must stop at the first record with bit 31 set, and skip those with
        bit 30. Then pass the processed bytes to advance().
        """
        return self._address + self._consumer[0] % self.size_bytes, self.fill_bytes

    def view(self) -> Bytes:
        """Return the same span as an array."""
        start = self._consumer[0] % self.size_bytes
        return self._data[start : start + self.fill_bytes]

    def records(self, limit_bytes: int | None = None) -> Records:
        """Return the written records without the discarded ones, from at most `limit_bytes` of the buffer.

        Call advance(records.nbytes) when done with them; until then they stay in place. With records of unequal length,
        one call returns no more than about a megabyte. A record larger than the limit is returned as a whole.
        """
        data = self.view()
        if not len(data):
            return _NOTHING
        first = int(data[:4].view(np.uint32)[0])
        if first & _BUSY:
            return _NOTHING
        length = first & _LENGTH
        stride = HEADER_BYTES + (length + 7 & ~7)
        limit = len(data) if limit_bytes is None else max(stride, limit_bytes)
        return _equal(data, length, min(limit, len(data)) // stride) or _unequal(data, min(limit, _MIXED_SPAN_BYTES))

    def advance(self, nbytes: int) -> None:
        """Return `nbytes` from the start of the span to the kernel."""
        self._consumer[0] = (self._consumer[0] + nbytes) & 0xFFFF_FFFF_FFFF_FFFF

    def close(self) -> None:
        """Unmap. Memory of records that are still in use stays until they are released."""
        self._consumer.release()
        self._producer.release()
        del self._data, self._theirs
        self._ours.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_NOTHING = Records(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64), 0)


def _equal(data: Bytes, length: int, count: int) -> Records | None:
    """Return `count` records if all have this `length`, fewer if one is still being written, None if lengths differ."""
    stride = HEADER_BYTES + (length + 7 & ~7)
    headers = np.ndarray((count,), np.uint32, data, strides=(stride,))
    offsets = np.arange(HEADER_BYTES, HEADER_BYTES + count * stride, stride)
    even = bool((headers == length).all())
    if not even:
        different = headers & np.uint32(~_DISCARDED & 0xFFFF_FFFF) != length
        if different.any():
            count = int(different.argmax())
            if not headers[count] & _BUSY:
                return None
        kept = headers[:count] == length
        offsets = offsets[:count][kept]
    sizes = np.broadcast_to(np.int64(length), offsets.shape)
    return Records(data, offsets, sizes, count * stride, stride if even else 0)


def _unequal(data: Bytes, limit_bytes: int) -> Records:
    headers = data[: limit_bytes & ~7].view(np.uint32)[::2]
    slots = ((headers & _LENGTH) + (HEADER_BYTES + 7) >> 3).astype(np.int64)
    slots[headers & _BUSY != 0] = 0
    starts = chain(slots)
    if not len(starts):
        return _NOTHING
    nbytes = int(starts[-1] + slots[starts[-1]]) * 8
    found = headers[starts]
    kept = found & _DISCARDED == 0
    sizes = (found[kept] & _LENGTH).astype(np.int64)
    return Records(data, starts[kept] * 8 + HEADER_BYTES, sizes, nbytes)
