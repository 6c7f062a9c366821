"""Batches of rows, and their acknowledgement. They have a stream of their own."""

from __future__ import annotations

from typing import Annotated

from quarterdeck.link.limits import Body
from quarterdeck.model.losses import Loss
from quarterdeck.model.struct import FEW, Name, Wire


class TelemetryBatch(Wire, frozen=True, kw_only=True):
    """Rows of one table, sent until acknowledged. (epoch, seq) is the batch id: a repeat is recognised and harmless.

    `epoch` is a random name of the outbox on that agent (new when its files were lost); `seq` grows by one per batch.
    `floor`: every batch below it was acknowledged, so the server may forget their ids.
    """

    epoch: Name
    seq: int
    floor: int
    table: Name
    fingerprint: Name  #: of the Table the rows were made for
    rows: int
    body: Body  #: zstd-compressed Arrow IPC stream
    module: Name = ""
    #: losses noticed since the batch before; a batch may carry only these (rows = 0)
    losses: Annotated[tuple[Loss, ...], FEW] = ()


class TelemetryAck(Wire, frozen=True, kw_only=True):
    """Confirms that the store has these batches on disk, or refused them permanently and counted them in `losses`."""

    epoch: Name
    seqs: Annotated[tuple[int, ...], FEW]
    retry_after_s: float = 0.0  #: > 0: the store is full or unreachable; wait before sending more
