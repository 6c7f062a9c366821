"""A WASM transform that makes a table's rows, and the handling of its failures.

Owns the copying of a guest's columns into batches, and the limits for guests that fail: a trap costs only its chunk; a
guest that does not return in time costs its chunk too, but several in a row end the instance, because the edge thread
stood still meanwhile. The wasm floor has the rules of the guest's contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.times import TIME
from quarterdeck.columns.arrow import NUMBER_TYPES
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Values, Varying
from quarterdeck.model.errors import BadTransform
from quarterdeck.model.losses import LossReason
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import SourceKind, TableSource
from quarterdeck.model.tables import Column, ColumnType
from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import TimedOut, TransformFailed, WasmError
from quarterdeck.wasm.guest import Output
from quarterdeck.wasm.instance import Limits
from quarterdeck.wasm.transform import Transform

#: a chunk of 256 KiB takes a few hundred microseconds
LIMITS = Limits(time_s=0.25)
#: chunks in a row that may run into the time limit
PATIENCE = 3


class BatchTransform:
    """One transform of one source, for all layouts that its buffers have."""

    def __init__(
        self,
        source: TableSource,
        wasm: bytes,
        *,
        engine: Engine,
        clock: EpochClock,
        settings: Mapping[str, SettingValue],
    ) -> None:
        self._source = source
        self._wasm = wasm
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._clocks = {field.column: field.clock for field in source.fields}
        self._transforms: dict[Layout, Transform] = {}
        self._timeouts = 0

    def prepare(self, layout: Layout) -> None:
        """Load the transform for spans of this layout; raise BadTransform when it does not fit the table."""
        source = self._source
        sizes = source.key_size, source.record_size - source.key_size
        wanted = sizes if source.kind is not SourceKind.RECORDS else (source.record_size,)
        try:
            transform = Transform.load(self._engine, self._wasm, layout=layout, sizes=wanted, limits=LIMITS)
            own = {
                setting.name for setting in transform.description.settings
            }  # a module's transforms may differ in them
            if given := {name: value for name, value in self._settings.items() if name in own}:
                settings = cast("Mapping[str, float]", given)  # the call checks the types itself
                transform = Transform.load(
                    self._engine, self._wasm, layout=layout, sizes=wanted, settings=settings, limits=LIMITS
                )
        except WasmError as error:
            raise BadTransform(f"The transform {source.transform} cannot be used: {error}") from error
        made = {column.name for column in transform.schema}
        missing = [column.name for column in source.table.columns if column.name not in made | {TIME}]
        if missing:
            raise BadTransform(
                f"Table {source.table.name} has columns that {source.transform} does not make: {', '.join(missing)}."
            )
        self._transforms[layout] = transform

    def run(self, reader: Reader, layout: Layout, address: int, nbytes: int) -> int:
        """Pass the rows made of `nbytes` at `address` to `reader`; return the bytes handled, lost ones included.

        Raises BadTransform when the last calls ran out of time, one after the other.
        """
        if self._timeouts >= PATIENCE:
            raise BadTransform(f"{self._source.transform} ran out of time {self._timeouts} times in a row.")
        transform = self._transforms[layout]
        taken = 0
        while taken < nbytes and self._timeouts < PATIENCE:
            try:
                for output in transform.run(address + taken, nbytes - taken):
                    taken += output.consumed
                    self._timeouts = 0
                    self._keep(reader, output)
            except TransformFailed as failure:
                taken += failure.consumed
                self._count(reader, failure)
                if not failure.consumed:
                    raise
            else:
                break
        return taken

    def _keep(self, reader: Reader, output: Output) -> None:
        reader.counts.records += output.records
        reader.lose(LossReason.BAD_RECORD, output.rejected, "refused by the transform")
        if output.rows:
            columns = {column.name: self._values(output, column) for column in reader.table.columns}
            reader.keep(Batch(reader.table, columns, output.rows))

    def _values(self, output: Output, column: Column) -> Values:
        """Return a copy of a column: the guest reuses its memory at the next call."""
        values = output.columns.get(column.name)
        if values is None:
            return np.full(output.rows, self._clock.now_ns, np.int64)
        if isinstance(values, tuple):
            return Varying(values[0].copy(), values[1].copy())
        if column.type is ColumnType.TIMESTAMP:
            return self._clock.to_epoch(values, self._clocks.get(column.name, ""))
        return values.astype(NUMBER_TYPES[column.type])

    def _count(self, reader: Reader, failure: TransformFailed) -> None:
        timed_out = isinstance(failure, TimedOut)
        reader.counts.records += failure.records
        reader.lose(LossReason.TIME_LIMIT if timed_out else LossReason.TRAP, failure.records, str(failure))
        self._timeouts = self._timeouts + 1 if timed_out else 0
