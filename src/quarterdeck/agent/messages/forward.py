"""Sends messages to the server as telemetry: runs become columns of the table `messages`, and batches of the outbox.

Owns the runs that wait until they fill a batch, and the encoding, which takes whole runs and never a single message.
The outbox decides when and how batches travel, and counts what is lost when it has no space for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from quarterdeck.agent.messages.runs import Run
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.outlet import Outlet
from quarterdeck.columns.values import Varying
from quarterdeck.model.messages import MESSAGES_TABLE

#: waiting messages are sent when they are this many, this large, or this old
BATCH_MESSAGES = 16_384
BATCH_BYTES = 2 * 1024 * 1024
WAIT_S = 0.5


class Forwarder:
    """Collects runs and emits batches. Used by one thread at a time. `clock`: seconds of a clock that never jumps."""

    def __init__(self, outlet: Outlet, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._outlet = outlet
        self._clock = clock
        self._runs: list[Run] = []
        self._messages = self._bytes = 0
        self._since_s = 0.0

    def add(self, run: Run) -> None:
        """Take messages that have their ids; emit a batch when enough have been collected."""
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
        """Return how many seconds the collected messages may still wait; None when there are none."""
        return max(0.0, self._since_s + WAIT_S - self._clock()) if self._runs else None

    def flush(self) -> None:
        """Emit what has been collected."""
        runs, self._runs = self._runs, []
        self._messages = self._bytes = 0
        self._outlet.send(MESSAGES_TABLE, lambda: columns(runs), rows=sum(map(len, runs)))


def columns(runs: Sequence[Run]) -> Batch:
    """Return runs as rows of the table `messages`, in order."""
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
    """Return a column that repeats each value as often as its count; there is one value for each run."""
    encoded = [value.encode("utf-8", "replace") for value in values]
    lengths = np.repeat(np.array([len(value) for value in encoded], np.int32), counts)
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    items = b"".join(value * int(count) for value, count in zip(encoded, counts, strict=True))
    return Varying(offsets, np.frombuffer(items, np.uint8))
