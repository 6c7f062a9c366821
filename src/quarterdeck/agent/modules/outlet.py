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

from quarterdeck.agent.modules.reader import Reader
from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.tables import Table

#: table, rows, body (compressed Arrow IPC), module, losses noticed since the last batch; from any thread, never waits
Emit = Callable[[Table, int, bytes, str, Sequence[Loss]], None]
Lose = Callable[[Loss], None]

WAITING_BATCHES = 4

log = logging.getLogger(__name__)


class Outlet:
    """Encodes and emits, in the order of `send`. `close` waits for what was sent."""

    def __init__(self, *, emit: Emit, lose: Lose) -> None:
        self._emit = emit
        self._lose = lose
        self._waiting: queue.Queue[tuple[Reader, list[Batch], Sequence[Loss]] | None] = queue.Queue(WAITING_BATCHES)
        self._thread = threading.Thread(target=self._run, name="edge-outlet", daemon=True)
        self._thread.start()

    def flush(self, reader: Reader) -> None:
        """Send all that `reader` has piled up, its losses too. Waits while the queue is full."""
        reader.waiting_since_s = None
        batches, losses = reader.pile.take(), reader.take_losses()
        if batches:
            self._waiting.put((reader, batches, losses))
            return
        for loss in losses:
            self._lose(loss)

    def settle(self) -> None:
        """Wait until everything sent so far was emitted."""
        self._waiting.join()

    def close(self) -> None:
        """Emit what is waiting and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._send(*item)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()

    def _send(self, reader: Reader, batches: list[Batch], losses: Sequence[Loss]) -> None:
        began_ns = time.thread_time_ns()
        table, rows = reader.table, sum(batch.rows for batch in batches)
        try:
            body = encode(*batches)
        except Exception as error:
            log.exception("%d rows of table %s cannot be encoded", rows, table.name)
            detail, now_ns = f"not encodable: {error}", time.time_ns()
            for loss in (
                *losses,
                Loss(
                    table=table.name,
                    reason=LossReason.BAD_RECORD,
                    rows=rows,
                    module=reader.module,
                    time_ns=now_ns,
                    detail=detail,
                ),
            ):
                self._lose(loss)
        else:
            self._emit(table, rows, body, reader.module, losses)
        reader.counts.encode_ns += time.thread_time_ns() - began_ns
