"""The thread that encodes collected rows and emits them, so that the edge thread does not have to.

Owns the encoding (zstd releases the GIL) and a short queue; when the queue is full the edge thread waits, the rings
fill, and the kernel counts what does not fit. It never drops a batch.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from quarterdeck.agent.modules.reader import Reader
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.outlet import Encoded, Outlet
from quarterdeck.model.losses import Loss

WAITING_WAVES = 4  #: what is sent together is a wave


class Encoder:
    """Encodes and emits through `outlet`, in the order of `flush`. `close` waits for what was flushed."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._waiting: queue.Queue[list[_Parcel] | None] = queue.Queue(WAITING_WAVES)
        self._thread = threading.Thread(target=self._run, name="edge-encoder", daemon=True)
        self._thread.start()

    def flush(self, *readers: Reader) -> None:
        """Send all that `readers` have collected, with their losses, as one wave. Wait while the queue is full."""
        wave: list[_Parcel] = []
        for reader in readers:
            reader.waiting_since_s = None
            batches, losses = reader.pile.take(), reader.take_losses()
            if batches:
                wave.append(_Parcel(reader, batches, losses))
                continue
            for loss in losses:
                self._outlet.lose(loss)
        if wave:
            self._waiting.put(wave)

    def settle(self) -> None:
        """Wait until everything sent so far has been emitted."""
        self._waiting.join()

    def close(self) -> None:
        """Emit what is waiting and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (wave := self._waiting.get()) is not None:
            try:
                self._send(wave)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()

    def _send(self, wave: list[_Parcel]) -> None:
        """Encode all, then emit all, so that the receiver wakes up once."""
        for encoded in [self._encoded(parcel) for parcel in wave]:
            self._outlet.put(encoded)

    def _encoded(self, parcel: _Parcel) -> Encoded:
        began_ns = time.thread_time_ns()
        reader = parcel.reader
        try:
            return self._outlet.encode(parcel.batches, module=reader.module, losses=parcel.losses)
        finally:
            reader.counts.encode_ns += time.thread_time_ns() - began_ns


@dataclass(frozen=True, slots=True)
class _Parcel:
    """The rows and losses that one reader sends."""

    reader: Reader
    batches: list[Batch]
    losses: Sequence[Loss]
