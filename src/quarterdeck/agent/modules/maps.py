"""Maps and global variables as tables: read every interval, as they are or as what changed.

Owns when a map is read and which of its entries become rows; the extractor or the transform makes the rows. A map that
is an array is never drained: its entries cannot be removed, so they are subtracted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quarterdeck.agent.modules.entries import Deltas, Entries, chunks, fold_cpus
from quarterdeck.agent.modules.extract import Extractor
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.times import TimeCheck
from quarterdeck.agent.modules.transforms import BatchTransform
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.records import Bytes, Records
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.losses import LossReason
from quarterdeck.model.manifests import ReadMode
from quarterdeck.model.modules import SourceKind, TableSource
from quarterdeck.wasm.description import Layout

BITE_BYTES = 1 << 20
_POPPED = frozenset({MapType.QUEUE, MapType.STACK})
_ARRAYS = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY})


class MapReader(Reader):
    """Reads one map, or one global variable of the map that is its section."""

    def __init__(
        self,
        source: TableSource,
        module: str,
        *,
        kernel_map: KernelMap,
        into: Extractor | BatchTransform,
        times: TimeCheck | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(source, module, times=times, notice=notice)
        self._map = kernel_map
        self._into = into
        self._next_s: float | None = None
        self.entries = 0  #: number of entries that the last reading found
        mode = source.read
        if kernel_map.type in _POPPED:
            mode = ReadMode.DRAIN
        elif mode is ReadMode.DRAIN and kernel_map.type in _ARRAYS:
            mode = ReadMode.DELTAS
        self._drains = mode is ReadMode.DRAIN
        lasting = source.lasting or source.kind is SourceKind.GLOBAL or kernel_map.type in _ARRAYS
        self._deltas = Deltas(source, lasting=lasting, notice=notice) if mode is ReadMode.DELTAS else None

    def due(self, now_s: float) -> float:
        if self._next_s is None:
            self._next_s = now_s + self.source.interval_s
        return self._next_s

    def read(self, now_s: float, *, last: bool = False) -> None:
        if not last:
            self._next_s = max(self.due(now_s) + self.source.interval_s, now_s)
        entries = self._entries()
        self.entries = len(entries)
        self.counts.records += len(entries)
        self.counts.bytes += entries.keys.nbytes + entries.values.nbytes
        if self._deltas is not None:
            entries = self._deltas.take(entries)
        if len(entries):
            self._keep(entries)
        self.waiting_since_s = None if self.waiting_since_s is None else 0.0  # no more comes before the next interval

    def abandon(self, detail: str) -> None:
        """Count nothing: the content of a map is unknown without reading it, and reading it failed."""

    def _entries(self) -> Entries:
        if self.source.kind is SourceKind.GLOBAL:
            return self._elements()
        keys, values = self._map.drain() if self._drains else self._map.entries()
        if values.ndim == 3:
            return fold_cpus(keys, values, self.source, self._deltas.gauges if self._deltas else ())
        return Entries(keys, values)

    def _elements(self) -> Entries:
        """Return the elements of a global variable, each with its u32 index as the key."""
        section = self._map.lookup(bytes(self._map.key_size))
        assert section is not None  # a section is an array of one entry
        size = self.source.record_size - self.source.key_size
        start, count = self.source.offset, self.source.count
        keys = np.arange(count, dtype=np.uint32)[:, None].view(np.uint8)
        return Entries(keys, section[start : start + count * size].reshape(count, size))

    def _keep(self, entries: Entries) -> None:
        packed = np.ascontiguousarray(entries.packed()[:, : self.source.record_size])
        for start, stop in chunks(len(packed), max(1, BITE_BYTES // packed.shape[1])):
            bite = packed[start:stop]
            if isinstance(self._into, BatchTransform):
                taken = self._into.run(self, Layout.ENTRIES, bite.ctypes.data, bite.nbytes)
                rest = (bite.nbytes - taken) // packed.shape[1]
                self.lose(LossReason.TIME_LIMIT, rest, "the transform ran out of time")
            else:
                cpus = None if entries.cpus is None else entries.cpus[start:stop]
                self.keep(self._into.batch(_records(bite), cpus))


def _records(rows: Bytes) -> Records:
    """Return the rows of a C-contiguous (n, size) matrix as records."""
    n, size = len(rows), int(rows.shape[1])
    offsets = np.arange(0, n * size, size, dtype=np.int64)
    return Records(rows.reshape(-1), offsets, np.broadcast_to(np.int64(size), (n,)), rows.nbytes)
