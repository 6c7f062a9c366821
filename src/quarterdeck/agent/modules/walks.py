"""Iterators as tables: at every interval the program walks a list of the kernel and writes a record for each item.

Owns the time of each walk and how the output is cut into records. It keeps no state between two walks: each walk
returns everything, so nothing is left to read when the program is detached.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quarterdeck.agent.modules.extract import Extractor
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.times import TimeCheck
from quarterdeck.agent.modules.transforms import BatchTransform
from quarterdeck.bpf.attach import IteratorLink
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.records import Records
from quarterdeck.model.losses import LossReason
from quarterdeck.model.modules import TableSource
from quarterdeck.wasm.description import Layout

BITE_BYTES = 1 << 20


class WalkReader(Reader):
    """Reads the records that one iterator writes."""

    def __init__(
        self,
        source: TableSource,
        module: str,
        *,
        program: Program,
        into: Extractor | BatchTransform,
        times: TimeCheck | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(source, module, times=times, notice=notice)
        self._program = program
        self._into = into
        self._next_s: float | None = None

    def due(self, now_s: float) -> float:
        if self._next_s is None:
            self._next_s = now_s
        return self._next_s

    def read(self, now_s: float, *, last: bool = False) -> None:
        if last:
            return
        self._next_s = max(self.due(now_s) + self.source.interval_s, now_s)
        for link in self._program.links:
            if isinstance(link, IteratorLink):
                self._walk(link)
        self.waiting_since_s = None if self.waiting_since_s is None else 0.0  # no more comes before the next interval

    def abandon(self, detail: str) -> None:
        """Count nothing: the next walk would have found everything."""

    def _walk(self, link: IteratorLink) -> None:
        size = self.source.record_size
        with link.open() as walk:
            while piece := walk.read(max(1, BITE_BYTES // size) * size):
                rest = len(piece) % size
                if rest:
                    detail = f"the iterator wrote {rest} bytes after its last whole record of {size}"
                    self.lose(LossReason.BAD_RECORD, 1, detail)
                self._keep(piece[: len(piece) - rest])

    def _keep(self, piece: bytes) -> None:
        size = self.source.record_size
        count = len(piece) // size
        self.counts.bytes += len(piece)
        if not count:
            return
        data = np.frombuffer(piece, np.uint8)
        if isinstance(self._into, BatchTransform):
            taken = self._into.run(self, Layout.RECORDS, data.ctypes.data, len(piece))
            self.lose(LossReason.TIME_LIMIT, (len(piece) - taken) // size, "the transform ran out of time")
            return
        self.counts.records += count
        offsets = np.arange(0, count * size, size, dtype=np.int64)
        self.keep(self._into.batch(Records(data, offsets, np.broadcast_to(np.int64(size), (count,)), len(piece))))
