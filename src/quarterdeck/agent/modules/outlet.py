"""The thread that turns piled-up rows into bytes and hands them on, so that the edge thread need not.

It owns the encoding (zstd releases the GIL) and a short queue; when that is full the edge thread waits, the rings fill,
and the kernel counts what finds no room: pressure is passed on, never hidden. It never drops a batch.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quarterdeck.agent.modules.reader import Reader
from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.tables import Table

#: table, rows, body (compressed Arrow IPC), module, losses noticed since the last batch; from any thread, never waits
Emit = Callable[[Table, int, bytes, str, Sequence[Loss]], None]
Lose = Callable[[Loss], None]

WAITING_WAVES = 4  #: what leaves together is a wave

log = logging.getLogger(__name__)


class Outlet:
    """Encodes and emits, in the order of `send`. `close` waits for what was sent."""

    def __init__(self, *, emit: Emit, lose: Lose) -> None:
        self._emit = emit
        self._lose = lose
        self._waiting: queue.Queue[list[_Parcel] | None] = queue.Queue(WAITING_WAVES)
        self._thread = threading.Thread(target=self._run, name="edge-outlet", daemon=True)
        self._thread.start()

    def flush(self, *readers: Reader) -> None:
        """Send all that `readers` have piled up, their losses too, as one wave. Waits while the queue is full."""
        wave: list[_Parcel] = []
        for reader in readers:
            reader.waiting_since_s = None
            batches, losses = reader.pile.take(), reader.take_losses()
            if batches:
                wave.append(_Parcel(reader, batches, losses))
                continue
            for loss in losses:
                self._lose(loss)
        if wave:
            self._waiting.put(wave)

    def settle(self) -> None:
        """Wait until everything sent so far was emitted."""
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
        """Encode all, then emit all: whoever takes them wakes up once."""
        bodies = [self._encoded(parcel) for parcel in wave]
        for parcel, body in zip(wave, bodies, strict=True):
            reader = parcel.reader
            if body is not None:
                self._emit(reader.table, parcel.rows, body, reader.module, parcel.losses)

    def _encoded(self, parcel: _Parcel) -> bytes | None:
        """The batches as bytes; None when they cannot be encoded, and then their rows are counted as lost."""
        began_ns = time.thread_time_ns()
        reader = parcel.reader
        try:
            return encode(*parcel.batches)
        except Exception as error:
            log.exception("%d rows of table %s cannot be encoded", parcel.rows, reader.table.name)
            lost = Loss(
                table=reader.table.name,
                reason=LossReason.BAD_RECORD,
                rows=parcel.rows,
                module=reader.module,
                time_ns=time.time_ns(),
                detail=f"not encodable: {error}",
            )
            for loss in (*parcel.losses, lost):
                self._lose(loss)
            return None
        finally:
            reader.counts.encode_ns += time.thread_time_ns() - began_ns


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What one reader sends."""

    reader: Reader
    batches: list[Batch]
    losses: Sequence[Loss]

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)
