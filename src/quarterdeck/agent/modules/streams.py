"""Ring and perf buffers as tables: every record becomes a row, or the input of a transform.

Owns the buffers of one source (several where the program chooses at run time), or of several tables that share them and
tell their records apart by a tag. It reads in chunks that fit the CPU's cache. Records that the kernel lost, that are
too short, or on which a transform fails are counted exactly. It never reads more in one call than was there when the
call began, so that a busy program cannot occupy the thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from quarterdeck.agent.modules.extract import Extractor
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.times import TimeCheck
from quarterdeck.agent.modules.transforms import BatchTransform
from quarterdeck.bpf.perf import PerfBuffer
from quarterdeck.bpf.records import Records
from quarterdeck.bpf.ring import RingBuffer
from quarterdeck.model.losses import LossReason
from quarterdeck.model.modules import FieldKind, TableSource, Tag
from quarterdeck.wasm.description import Layout

BITE_BYTES = 1 << 20
_PADDING_BYTES = 7  # the kernel's, of perf records

#: read a buffer when it is this full; a calmer one waits until its rows are to leave
URGENT_FILL = 1 / 8


class Buffer(Protocol):
    """One chain of records: a RingBuffer or a PerfRing."""

    size_bytes: int

    @property
    def fill_bytes(self) -> int: ...

    def records(self, limit_bytes: int = ...) -> Records: ...

    def advance(self, nbytes: int) -> None: ...


class RecordReader(Reader):
    """Makes rows of the records of its table, which the reader that owns the buffers passes to it."""

    def __init__(
        self,
        source: TableSource,
        module: str,
        *,
        into: Extractor | BatchTransform,
        times: TimeCheck | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(source, module, times=times, notice=notice)
        self._into = into
        self._tells_larger = not any(field.kind is FieldKind.TAIL for field in source.fields)

    def due(self, now_s: float) -> float:
        """Return that no reading is due: the owner of the buffers reads them."""
        del now_s
        return float("inf")

    def read(self, now_s: float, *, last: bool = False) -> None:
        """Read nothing: it has no buffers of its own."""

    def abandon(self, detail: str) -> None:
        """Count nothing: the owner of the buffers counts what is left."""

    def take(self, records: Records) -> None:
        """Make rows of the records with this table's tags."""
        assert isinstance(self._into, Extractor)
        own = _tagged(records, self.source.tags)
        self.counts.records += len(own)
        readable = self._readable(own)
        if len(readable):
            self._tell_larger(readable)
            self.keep(self._into.batch(readable))

    def _tell_larger(self, records: Records) -> None:
        """Warn once that records are longer than their struct, which may be the wrong one."""
        if not self._tells_larger or int(records.sizes[0]) <= self.source.record_size + _PADDING_BYTES:
            return
        self._tells_larger = False
        self.notice(
            f"table {self.table.name} reads {self.source.record_size} bytes of records of "
            f"{int(records.sizes[0])} bytes: is `row` in module.toml the right struct?"
        )

    def _readable(self, records: Records) -> Records:
        """Return the records without those too short for their struct, which are counted as lost."""
        sizes, least = records.sizes, self.source.min_size
        if not len(records) or int(sizes[0] if not sizes.strides[0] else sizes.min()) >= least:
            return records
        fits = sizes >= least
        short = int(len(fits) - fits.sum())
        found = int(sizes[~fits][0])
        self.lose(LossReason.BAD_RECORD, short, f"records of {found} bytes, expected at least {least}")
        return Records(records.data, records.offsets[fits], sizes[fits], records.nbytes)


class StreamReader(RecordReader):
    """Reads the records of rings and perf buffers through an extractor or a transform."""

    def __init__(
        self,
        source: TableSource,
        module: str,
        *,
        buffers: Sequence[RingBuffer | PerfBuffer],
        into: Extractor | BatchTransform,
        times: TimeCheck | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(source, module, into=into, times=times, notice=notice)
        self._sharing: list[RecordReader] = [self]
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

    def share(self, other: RecordReader) -> None:
        """Pass the records to this reader too: its table is read from the same buffers."""
        self._sharing.append(other)

    def due(self, now_s: float) -> float:
        """Return now when a buffer fills up; else the time at which the oldest waiting record must be sent."""
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
        """Take the next records out of the buffer; return how many bytes were returned to the kernel."""
        if isinstance(self._into, BatchTransform):
            return self._transformed(buffer, self._into)
        records = buffer.records(BITE_BYTES)
        if not records.nbytes:
            return 0
        self.counts.bytes += records.nbytes
        for reader in self._sharing:
            reader.take(records)
        buffer.advance(records.nbytes)
        return records.nbytes

    def _transformed(self, buffer: Buffer, transform: BatchTransform) -> int:
        if isinstance(buffer, RingBuffer):
            address, nbytes = buffer.span()
            layout = Layout.RING
        else:
            records = buffer.records(BITE_BYTES)
            address, nbytes, layout = records.data.ctypes.data, records.nbytes, Layout.PERF
        taken = transform.run(self, layout, address, min(nbytes, BITE_BYTES)) if nbytes else 0
        if not taken and nbytes > BITE_BYTES:
            taken = transform.run(self, layout, address, nbytes)  # one record larger than a chunk
        buffer.advance(taken)
        self.counts.bytes += taken
        return taken

    def abandon(self, detail: str) -> None:
        for buffer in self._buffers:
            while (records := buffer.records(BITE_BYTES)).nbytes:
                self.lose(LossReason.BAD_RECORD, len(records), detail)
                buffer.advance(records.nbytes)


def _tagged(records: Records, tags: Sequence[Tag]) -> Records:
    """Return the records with each tag. A record too short for its tag is included, and is lost as too short."""
    if not tags or not len(records):
        return records
    chosen = np.ones(len(records), np.bool_)
    for tag in tags:
        long = records.sizes >= tag.offset + tag.size
        numbers = np.ndarray((len(records.data) - tag.size + 1,), f"<u{tag.size}", records.data, strides=(1,))
        found = numbers[records.offsets[long] + tag.offset]
        chosen[long] &= np.isin(found, np.array(tag.values, f"<u{tag.size}"))
    return Records(records.data, records.offsets[chosen], records.sizes[chosen], records.nbytes)
