"""Losses: how many rows did not arrive, where, and why. Loss is data: it has a table of its own."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.struct import Wire
from quarterdeck.model.tables import Column, ColumnType, Table


class LossReason(StrEnum):
    """Why rows are missing. Every hop that can lose a row has a reason here."""

    RING_FULL = "ring_full"  #: the kernel found no room in the ring, perf or socket buffer
    MAP_FULL = "map_full"  #: the kernel found no room in a hash map, or the agent among its statsd keys
    THROTTLED = "throttled"  #: over the instance's rate limit
    TRAP = "trap"  #: the WASM transform trapped
    TIME_LIMIT = "time_limit"  #: the WASM transform ran too long
    BAD_RECORD = "bad_record"  #: shorter than its struct, or not decodable
    QUEUE_FULL = "queue_full"  #: the agent's outbox was full, in memory and on disk
    TOO_OLD = "too_old"  #: older than the table's retention, or than the outbox keeps
    CORRUPT = "corrupt"  #: a spilled file failed its checksum
    REJECTED = "rejected"  #: the store refused the batch (unknown table, wrong schema)


#: A per-CPU array that programs compiled by us carry: one u64 for each reason below, by its place here. The C side
#: is quarterdeck/losses.h, which gets the numbers from here.
KERNEL_LOSSES_MAP = "qd_losses"
KERNEL_LOSS_SLOTS = (LossReason.RING_FULL, LossReason.MAP_FULL)


class Loss(Wire, frozen=True, kw_only=True):
    """`rows` rows of `table` that were lost for one reason, first to last seen at `time_ns`."""

    table: str
    reason: LossReason
    rows: int
    module: str = ""
    time_ns: int = 0  #: when the loss was noticed
    detail: str = ""


LOSSES_TABLE = Table(
    name="losses",
    description="Rows that did not arrive: where they were lost, how many and why",
    retention_s=30 * 86400,
    order=("nid", "table", "time"),
    columns=(
        Column(name="time", type=ColumnType.TIMESTAMP, description="when the loss was noticed"),
        Column(name="module", type=ColumnType.STRING, description="the module whose rows they were"),
        Column(name="table", type=ColumnType.STRING, description="the table the rows belonged to"),
        Column(name="reason", type=ColumnType.STRING, description="one of the loss reasons"),
        Column(name="rows", type=ColumnType.UINT64, unit="rows", description="how many rows were lost"),
        Column(name="detail", type=ColumnType.STRING, description="more about it, in words"),
    ),
)
