"""Ring and perf buffers as tables: every record a row, or what a transform makes of it.

It owns the buffers of one source (several where the program chooses at run time) and takes them in bites that stay in
the CPU's cache. What the kernel says it lost, what is too short to read and what a transform fails on is counted, to
the record. It never reads more in one go than was there when it began, so that a busy program cannot hold the thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quarterdeck.agent.modules.extract import Extractor
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.transforms import BatchTransform
from quarterdeck.bpf.perf import PerfBuffer
from quarterdeck.bpf.records import Records
from quarterdeck.bpf.ring import RingBuffer
from quarterdeck.model.losses import LossReason
from quarterdeck.model.modules import TableSource
from quarterdeck.wasm.description import Layout

BITE_BYTES = 1 << 20
#: read a buffer when it is this full; a calmer one waits until its rows are to leave
URGENT_FILL = 1 / 8


class Buffer(Protocol):
    """One chain of records: RingBuffer and PerfRing."""

    size_bytes: int

    @property
    def fill_bytes(self) -> int: ...

    def records(self, limit_bytes: int = ...) -> Records: ...

    def advance(self, nbytes: int) -> None: ...


class StreamReader(Reader):
    """Reads the records of rings and perf buffers through an extractor or a transform."""

    def __init__(
        self,
        source: TableSource,
        module: str,
        *,
        buffers: Sequence[RingBuffer | PerfBuffer],
        into: Extractor | BatchTransform,
    ) -> None:
        super().__init__(source, module)
        self._into = into
        self._fds = tuple(each.fileno() for each in buffers)
        self._rings = [each for each in buffers if isinstance(each, RingBuffer)]
        self._perf_rings = [ring for each in buffers if isinstance(each, PerfBuffer) for ring in each.rings]
        self._buffers: list[Buffer] = [*self._rings, *self._perf_rings]
        self._kernel_lost = 0
        self._next_loss_check_s = 0.0

    @property
    def fds(self) -> tuple[int, ...]:
        return self._fds

    @property
    def fill(self) -> float:
        return max([buffer.fill_bytes / buffer.size_bytes for buffer in self._buffers])

    def due(self, now_s: float) -> float:
        """At once when a buffer fills up; else when what is seen here first has waited as long as rows may."""
        fill = self.fill
        if fill:
            self.wait(now_s)
        return now_s if fill >= URGENT_FILL else float("inf")

    def read(self, now_s: float, *, last: bool = False) -> None:
        for buffer in self._buffers:
            waiting = buffer.fill_bytes
            while waiting > 0:
                taken = self._bite(buffer)
                if not taken:
                    break
                waiting -= taken
        if self._perf_rings and (last or now_s >= self._next_loss_check_s):
            self._next_loss_check_s = now_s + 1.0
            self.check_losses()

    def check_losses(self) -> None:
        """Count what the kernel could not put into the perf buffers since the last look."""
        lost = sum(ring.lost for ring in self._perf_rings)
        self.lose(LossReason.RING_FULL, lost - self._kernel_lost)
        self._kernel_lost = lost

    def _bite(self, buffer: Buffer) -> int:
        """Take the next records out of the buffer; returns how many bytes were given back."""
        if isinstance(self._into, BatchTransform):
            return self._transformed(buffer, self._into)
        records = buffer.records(BITE_BYTES)
        if not records.nbytes:
            return 0
        self.counts.bytes += records.nbytes
        self.counts.records += len(records)
        readable = self._readable(records)
        if len(readable):
            self.keep(self._into.batch(readable))
        buffer.advance(records.nbytes)
        return records.nbytes

    def _readable(self, records: Records) -> Records:
        """The records without those too short for their struct, which are lost."""
        sizes, least = records.sizes, self.source.min_size
        if not len(records) or int(sizes[0] if not sizes.strides[0] else sizes.min()) >= least:
            return records
        fits = sizes >= least
        short = int(len(fits) - fits.sum())
        found = int(sizes[~fits][0])
        self.lose(LossReason.BAD_RECORD, short, f"records of {found} bytes, expected at least {least}")
        return Records(records.data, records.offsets[fits], sizes[fits], records.nbytes)

    def _transformed(self, buffer: Buffer, transform: BatchTransform) -> int:
        if isinstance(buffer, RingBuffer):
            address, nbytes = buffer.span()
            layout = Layout.RING
        else:
            records = buffer.records(BITE_BYTES)
            address, nbytes, layout = records.data.ctypes.data, records.nbytes, Layout.PERF
        taken = transform.run(self, layout, address, min(nbytes, BITE_BYTES)) if nbytes else 0
        if not taken and nbytes > BITE_BYTES:
            taken = transform.run(self, layout, address, nbytes)  # one record larger than a bite
        buffer.advance(taken)
        self.counts.bytes += taken
        return taken

    def abandon(self, detail: str) -> None:
        for buffer in self._buffers:
            while (records := buffer.records(BITE_BYTES)).nbytes:
                self.lose(LossReason.BAD_RECORD, len(records), detail)
                buffer.advance(records.nbytes)
