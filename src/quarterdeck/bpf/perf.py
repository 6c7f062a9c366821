"""Perf buffers (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`), one ring for each CPU, for kernels without ring buffers.

It owns an event and a mapping for each online CPU, and the counts of records that the kernel could not store. It reads
whole spans, like ring.py, and wakes readers by watermark, because a wake-up for each record slows the sender.

The shared memory is one page whose 64-bit words at 1024 and 1032 are the kernel's head and our tail, followed by the
data, which wraps. A record is u32 type, u16 flags, u16 length; the payload of a sample has a preceding u32 length and
is padded by the kernel (linux/perf_event.h). The notes on memory ordering in ring.py apply here too. The order between
CPUs is not kept; sort by time if needed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct
from types import TracebackType
from typing import Self

import numpy as np

from quarterdeck.bpf import syscall
from quarterdeck.bpf.errors import MapError, SyscallError
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.object import ring_bytes
from quarterdeck.bpf.records import Bytes, Records, chain

_BPF_OUTPUT = 10  # PERF_COUNT_SW_BPF_OUTPUT
_SAMPLE_RAW = 1 << 10
_FORMAT_LOST = 1 << 4  # Linux 6.0: the event counts its losses
_IOC_ENABLE = 0x2400
_RECORD_LOST, _RECORD_SAMPLE = 2, 9
_PAYLOAD = 12  # after the header and the length of the sample
_LONGEST_RECORD_BYTES = 1 << 16
_BITE_BYTES = 1 << 20  # most bytes returned by one call, to keep it short

DEFAULT_BYTES = 256 << 10


class PerfRing:
    """One CPU's ring."""

    def __init__(self, cpu: int, size_bytes: int) -> None:
        self.cpu = cpu
        self.size_bytes = size_bytes
        self.fd, self._counts_lost = _open(cpu, wakeup_bytes=size_bytes // 2)
        try:
            self._memory = mmap.mmap(self.fd, mmap.PAGESIZE + size_bytes)
            fcntl.ioctl(self.fd, _IOC_ENABLE, 0)
        except OSError as error:
            os.close(self.fd)
            raise MapError(f"no perf buffer of {size_bytes} bytes on CPU {cpu}: {error}") from error
        self._head = memoryview(self._memory)[1024:1032].cast("Q")
        self._tail = memoryview(self._memory)[1032:1040].cast("Q")
        self._data: Bytes = np.frombuffer(self._memory, np.uint8, size_bytes, mmap.PAGESIZE)
        self._lost_records = 0

    @property
    def fill_bytes(self) -> int:
        """Return the number of bytes that wait to be read."""
        return (self._head[0] - self._tail[0]) & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def lost(self) -> int:
        """Return the number of records that the kernel could not store since this ring was opened.

        It is exact from Linux 6.0. Earlier kernels report losses with the next record that they store, so the count is
        exact up to the last record that was advanced over.
        """
        if not self._counts_lost:
            return self._lost_records
        return struct.unpack("=QQ", os.read(self.fd, 16))[1]

    def records(self, limit_bytes: int = _BITE_BYTES) -> Records:
        """Return the waiting payloads, as views except where the ring wraps. Call advance(records.nbytes) afterwards.

        A payload may be up to 7 bytes longer than the program sent, because the kernel pads it.
        """
        data = self._span(max(limit_bytes, _LONGEST_RECORD_BYTES))
        if not len(data):
            return Records(data, np.empty(0, np.int64), np.empty(0, np.int64), 0)
        words = data.view(np.uint64)
        lengths = words >> np.uint64(51)  # the upper 16 bits are bytes, this counts words
        first = int(lengths[0])
        starts = np.arange(0, len(words) - first + 1, first, dtype=np.int64) if first else np.empty(0, np.int64)
        if not first or not (words[starts] == words[0]).all():
            starts = chain(lengths.astype(np.int64))
        starts = starts[starts + lengths[starts].astype(np.int64) <= len(words)]
        nbytes = int(starts[-1] + int(lengths[starts[-1]])) * 8 if len(starts) else 0
        kinds = words[starts] & np.uint64(0xFFFF_FFFF)
        if not self._counts_lost:
            self._lost_records += int(words[starts[kinds == _RECORD_LOST] + 2].sum())
        samples = starts[kinds == _RECORD_SAMPLE]
        sizes = (words[samples + 1] & np.uint64(0xFFFF_FFFF)).astype(np.int64)
        return Records(data, samples * 8 + _PAYLOAD, sizes, nbytes)

    def advance(self, nbytes: int) -> None:
        """Return `nbytes` to the kernel."""
        self._tail[0] = (self._tail[0] + nbytes) & 0xFFFF_FFFF_FFFF_FFFF

    def _span(self, limit_bytes: int) -> Bytes:
        start, waiting = self._tail[0] % self.size_bytes, min(self.fill_bytes, limit_bytes & ~7)
        end = start + waiting
        if end <= self.size_bytes:
            return self._data[start:end]
        return np.concatenate((self._data[start:], self._data[: end - self.size_bytes]))

    def close(self) -> None:
        """Unmap and close the event. Memory that is still in use stays until it is released."""
        self._head.release()
        self._tail.release()
        del self._data, self._memory
        os.close(self.fd)


class PerfBuffer:
    """A ring for each online CPU, set in the program's map. It is a context manager that closes the rings."""

    def __init__(self, map_fd: int, *, bytes_per_cpu: int = DEFAULT_BYTES) -> None:
        """Open the rings. `bytes_per_cpu` is rounded to a power of two. CPUs that come online later have no ring."""
        self.rings: list[PerfRing] = []
        self._epoll = select.epoll()
        self._array = KernelMap(map_fd)
        try:
            for cpu in syscall.online_cpus():
                if cpu >= self._array.max_entries:
                    break
                ring = PerfRing(cpu, ring_bytes(bytes_per_cpu))
                self.rings.append(ring)
                self._epoll.register(ring.fd, select.EPOLLIN)
                self._array.update(_u32(cpu), _u32(ring.fd))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return an fd that is readable when a ring is half full."""
        return self._epoll.fileno()

    @property
    def lost(self) -> int:
        """Return the records lost on all CPUs; see PerfRing.lost."""
        return sum(ring.lost for ring in self.rings)

    def close(self) -> None:
        """Remove the rings from the map and close them."""
        while self.rings:
            ring = self.rings.pop()
            self._array.delete(np.frombuffer(_u32(ring.cpu), np.uint8))
            ring.close()
        self._epoll.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)


def _open(cpu: int, wakeup_bytes: int) -> tuple[int, bool]:
    """Open a BPF output event on a CPU; return it, and whether it counts its losses."""
    for read_format in (_FORMAT_LOST, 0):
        attr = syscall.perf_attr(
            syscall.PERF_TYPE_SOFTWARE,
            _BPF_OUTPUT,
            period=1,
            sample_type=_SAMPLE_RAW,
            read_format=read_format,
            wakeup_bytes=wakeup_bytes,
        )
        try:
            return syscall.perf_event_open(attr, cpu=cpu), bool(read_format)
        except SyscallError as error:
            refused = error
    raise MapError(f"no perf buffer on CPU {cpu}: {refused}")
