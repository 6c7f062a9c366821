"""The outlet: the one port through which rows and losses leave for telemetry, whoever produces them.

It owns the rule that rows are either encoded and emitted or counted as lost. It keeps nothing and never waits: what is
behind it (on an agent, the outbox) does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quarterdeck.columns.arrow import bodies
from quarterdeck.columns.batch import Batch
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.tables import Table

#: takes a table, rows, body (compressed Arrow IPC), module, losses noticed since the last batch
Emit = Callable[[Table, int, bytes, str, Sequence[Loss]], None]
#: takes rows that were lost before they became a batch
Lose = Callable[[Loss], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows of one table as bodies (compressed Arrow IPC), each with its number of rows, and losses that go along."""

    table: Table
    module: str
    bodies: Sequence[tuple[int, bytes]]
    losses: Sequence[Loss]


@dataclass(frozen=True, slots=True)
class Outlet:
    """Both functions can be called from any thread, and never wait."""

    emit: Emit
    lose: Lose

    def encode(self, batches: Sequence[Batch], *, module: str = "", losses: Sequence[Loss] = ()) -> Encoded:
        """Encode batches of one table. If that fails, count their rows and `losses` as lost, and return no bodies."""
        rows = sum(batch.rows for batch in batches)
        return self._encode(batches[0].table, lambda: batches, rows=rows, module=module, losses=losses)

    def put(self, encoded: Encoded) -> None:
        """Emit what was encoded; the losses go with the first body."""
        losses = encoded.losses
        for rows, body in encoded.bodies:
            self.emit(encoded.table, rows, body, encoded.module, losses)
            losses = ()

    def send(self, table: Table, make: Callable[[], Batch], *, rows: int) -> None:
        """Encode and emit the batch of so many rows that `make` returns; count them as lost if one of both fails."""
        if rows:
            self.put(self._encode(table, lambda: (make(),), rows=rows))

    def _encode(
        self,
        table: Table,
        make: Callable[[], Sequence[Batch]],
        *,
        rows: int,
        module: str = "",
        losses: Sequence[Loss] = (),
    ) -> Encoded:
        try:
            return Encoded(table, module, tuple(bodies(*make())), losses)
        except Exception as error:
            log.exception("%d rows of table %s cannot be encoded", rows, table.name)
            lost = Loss(
                table=table.name,
                reason=LossReason.BAD_RECORD,
                rows=rows,
                module=module,
                time_ns=time.time_ns(),
                detail=f"not encodable: {error}",
            )
            for loss in (*losses, lost):
                self.lose(loss)
            return Encoded(table, module, (), ())
