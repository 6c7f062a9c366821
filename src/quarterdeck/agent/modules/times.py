"""Check of the times of a table's rows: each must lie within the time that the program was attached.

A member called `ts` may hold a duration, a reading of another clock, or nothing at all; a transform may compute any
value. A row outside this range gets the time of reading, so that retention neither drops it at once nor keeps it
permanently. Owns that comparison, a column at a time; it never computes times: the extractor or the transform does.
"""

from __future__ import annotations

import numpy as np

from quarterdeck.agent.modules.clock import EpochClock, Moment
from quarterdeck.columns.batch import Batch

TIME = "time"  #: the column with the moment of each row


class TimeCheck:
    """Corrects the times of rows that were made since `attached`."""

    def __init__(self, clock: EpochClock, attached: Moment) -> None:
        self._clock = clock
        self._attached = attached

    def corrected(self, batch: Batch) -> tuple[Batch, int, str]:
        """Return the batch with corrected times, how many were wrong, and one of the wrong times as a date."""
        times = batch.columns[TIME]
        assert isinstance(times, np.ndarray)
        if not times.size:
            return batch, 0, ""
        first, last = self._clock.since(self._attached)
        if first <= int(times.min()) and int(times.max()) <= last:
            return batch, 0, ""
        wrong = (times < first) | (times > last)
        example = str(np.datetime64(int(times[wrong][0]), "ns").astype("datetime64[s]"))
        columns = {**batch.columns, TIME: np.where(wrong, np.int64(self._clock.now_ns), times)}
        return Batch(batch.table, columns, batch.rows), int(wrong.sum()), example
