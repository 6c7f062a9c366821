"""The measurement of this host and its modules: the agent fills every table of usage once in each interval.

The collectors run in a thread, in the order of the tables. A table whose files cannot be read is logged once, and tried
again in the next interval; the others are not affected. Rows and losses go through the outlet, as all telemetry.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from quarterdeck.agent.commands.disks import Disks
from quarterdeck.agent.usage import collectors
from quarterdeck.agent.usage.collectors import Collector, Files, InstanceUse, Row
from quarterdeck.columns.arrow import NUMBER_TYPES
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.outlet import Outlet
from quarterdeck.columns.values import Values, strings
from quarterdeck.kit.tasks import finish
from quarterdeck.model.tables import Table
from quarterdeck.model.usage import (
    DISK_IO_TABLE,
    DISK_USAGE_TABLE,
    HOST_PRESSURE_TABLE,
    HOST_USAGE_TABLE,
    MODULE_USAGE_TABLE,
    NIC_USAGE_TABLE,
    UsageConfig,
)

log = logging.getLogger(__name__)


@dataclass
class _Table:
    """A table, how to create its collector, and the present one. `failed`: the last measurement failed."""

    table: Table
    create: Callable[[], Collector]
    collect: Collector
    failed: bool = False

    @classmethod
    def of(cls, table: Table, create: Callable[[], Collector]) -> Self:
        """Return the table with its first collector."""
        return cls(table, create, create())


class Usage:
    """Measures the host. `instances` returns the running instances of modules; it is called in the event loop."""

    def __init__(
        self,
        config: UsageConfig,
        *,
        outlet: Outlet,
        instances: Callable[[], Sequence[InstanceUse]],
        files: Files | None = None,
        disks: Disks | None = None,
    ) -> None:
        self._interval_s = config.interval_s
        self._outlet = outlet
        self._instances = instances
        self._running: Sequence[InstanceUse] = ()  # when the measurement began
        self._measured_s: float | None = None  # monotonic, in seconds
        kernel, mounts = files or Files(), disks or Disks()
        self._tables = (
            _Table.of(HOST_USAGE_TABLE, lambda: collectors.host(kernel)),
            _Table.of(HOST_PRESSURE_TABLE, lambda: collectors.pressure(kernel)),
            _Table.of(DISK_USAGE_TABLE, lambda: collectors.space(kernel, mounts)),
            _Table.of(DISK_IO_TABLE, lambda: collectors.disk_io(kernel)),
            _Table.of(NIC_USAGE_TABLE, lambda: collectors.nics(kernel)),
            _Table.of(MODULE_USAGE_TABLE, lambda: collectors.modules(lambda: self._running)),
        )

    async def run(self) -> None:
        """Measure, and emit the rows of an interval, every `interval_s`, without end."""
        while True:
            if self._measured_s is not None:
                await asyncio.sleep(max(0.0, self._measured_s + self._interval_s - time.monotonic()))
            self._running = self._instances()
            await finish(asyncio.ensure_future(asyncio.to_thread(self.measure)))

    def measure(self) -> None:
        """End the interval now and emit its rows. The first call only begins an interval."""
        now_s, time_ns = time.monotonic(), time.time_ns()
        first, interval_s = self._measured_s is None, max(1e-9, now_s - (self._measured_s or 0.0))
        self._measured_s = now_s
        for each in self._tables:
            rows = self._rows(each, interval_s)
            if not first:
                batch = partial(usage_batch, each.table, rows, time_ns=time_ns, interval_ns=round(interval_s * 1e9))
                self._outlet.send(each.table, batch, rows=len(rows))

    def _rows(self, of: _Table, interval_s: float) -> Sequence[Row]:
        """Return the rows of a table; none, and a line in the log, if the kernel's files are not as expected."""
        try:
            rows = of.collect(interval_s)
        except (OSError, ValueError, LookupError) as error:
            if not of.failed:
                log.warning("table %s has no rows until its files can be read: %r", of.table.name, error)
            of.collect, of.failed = of.create(), True
            return ()
        of.failed = False
        return rows


def usage_batch(table: Table, rows: Sequence[Row], *, time_ns: int, interval_ns: int) -> Batch:
    """Return a few rows of a table as a batch."""
    whole = [{"time": time_ns, "interval": interval_ns, **row} for row in rows]
    columns: dict[str, Values] = {}
    for column in table.columns:
        values = [row[column.name] for row in whole]
        kind = NUMBER_TYPES.get(column.type)
        columns[column.name] = strings([str(each) for each in values]) if kind is None else np.array(values, kind)
    return Batch(table, columns, len(rows))
