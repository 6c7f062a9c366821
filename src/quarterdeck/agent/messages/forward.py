"""Messages that leave for the server: runs become columns of the table `messages`, and batches of the outbox.

It owns the pile that waits to be worth a batch, and the encoding; whole runs at a time, no message by itself. When and
how batches travel, and what is lost when there is no room for them, is the outbox's business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from quarterdeck.agent.messages.runs import Run
from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Varying
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.tables import Table

#: a pile leaves when it is this large, or this old
BATCH_MESSAGES = 16_384
BATCH_BYTES = 2 * 1024 * 1024
WAIT_S = 0.5

#: table, rows, body (compressed Arrow IPC), module, losses; any thread, never waits
Emit = Callable[[Table, int, bytes, str, Sequence[Loss]], None]
Lose = Callable[[Loss], None]

log = logging.getLogger(__name__)


class Forwarder:
    """For one thread at a time. `clock`: seconds of a clock that never jumps."""

    def __init__(self, emit: Emit, lose: Lose, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._lose = lose
        self._clock = clock
        self._runs: list[Run] = []
        self._messages = self._bytes = 0
        self._since_s = 0.0

    def add(self, run: Run) -> None:
        """Take messages that have their ids; the pile leaves when it is large enough."""
        if not len(run):
            return
        if not self._runs:
            self._since_s = self._clock()
        self._runs.append(run)
        self._messages += len(run)
        self._bytes += run.size_bytes
        if self._messages >= BATCH_MESSAGES or self._bytes >= BATCH_BYTES:
            self.flush()

    @property
    def due_s(self) -> float | None:
        """How long the pile may wait still; None when there is none."""
        return max(0.0, self._since_s + WAIT_S - self._clock()) if self._runs else None

    def flush(self) -> None:
        """Send what has piled up."""
        runs, self._runs = self._runs, []
        self._messages = self._bytes = 0
        if not runs:
            return
        rows = sum(map(len, runs))
        try:
            body = encode(columns(runs))
        except Exception as error:
            log.exception("%d messages cannot be encoded", rows)
            detail = f"not encodable: {error}"
            reason = LossReason.BAD_RECORD
            self._lose(Loss(table=MESSAGES_TABLE.name, reason=reason, rows=rows, time_ns=time.time_ns(), detail=detail))
        else:
            self._emit(MESSAGES_TABLE, rows, body, "", ())


def columns(runs: Sequence[Run]) -> Batch:
    """Runs as rows of the table `messages`, in order."""
    counts = np.array([len(run) for run in runs], np.int64)
    times = np.array([run.epoch_ms for run in runs], np.int64) * 1_000_000
    rows = int(counts.sum())
    return Batch(
        MESSAGES_TABLE,
        {
            "time": np.repeat(times, counts),
            "id": np.fromiter(chain.from_iterable(run.ids for run in runs), np.uint32, rows),
            "job_id": _same([run.source.job_id for run in runs], counts),
            "domain": _same([run.source.domain for run in runs], counts),
            "name": _same([run.source.name for run in runs], counts),
            "level": np.fromiter(chain.from_iterable(run.levels for run in runs), np.uint8, rows),
            "marks": np.fromiter(chain.from_iterable(run.marks for run in runs), np.uint8, rows),
            "data": _texts(list(chain.from_iterable(run.texts for run in runs))),
        },
        rows,
    )


def _texts(texts: Sequence[bytes]) -> Varying:
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=offsets[1:])
    return Varying(offsets, np.frombuffer(b"".join(texts), np.uint8))


def _same(values: Sequence[str], counts: NDArray[np.int64]) -> Varying:
    """Each value so often; one for each run, so they are few."""
    encoded = [value.encode("utf-8", "replace") for value in values]
    lengths = np.repeat(np.array([len(value) for value in encoded], np.int32), counts)
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    items = b"".join(value * int(count) for value, count in zip(encoded, counts, strict=True))
    return Varying(offsets, np.frombuffer(items, np.uint8))
