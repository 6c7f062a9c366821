"""Losses: how many rows were lost, where and why. They are stored in a table of their own."""

from __future__ import annotations

from quarterdeck.model.struct import Name, Text, Wire, WireEnum
from quarterdeck.model.tables import Column, ColumnType, Table


class LossReason(WireEnum):
    """The reason why rows were lost. Every place that can lose a row has a reason here."""

    RING_FULL = "ring_full"  #: the ring, perf or socket buffer had no free space
    MAP_FULL = "map_full"  #: a hash map in the kernel, or the agent's limit of statsd keys, had no free space
    THROTTLED = "throttled"  #: above the instance's rate limit
    TRAP = "trap"  #: the WASM transform trapped
    TIME_LIMIT = "time_limit"  #: the WASM transform ran too long
    BAD_RECORD = "bad_record"  #: shorter than its struct, or not decodable
    EVENT = "event"  #: an event of DogStatsD, which no table stores
    SERVICE_CHECK = "service_check"  #: a service check of DogStatsD, which no table stores
    QUEUE_FULL = "queue_full"  #: the agent's outbox was full, in memory and on disk
    TOO_OLD = "too_old"  #: older than the table's retention or the outbox's max_age_s
    EVICTED = "evicted"  #: the node's message store was full; forwarded messages are in the table
    DISK_FULL = "disk_full"  #: the node's disk and memory had no space for messages; see `evicted` for the table
    CORRUPT = "corrupt"  #: a spilled file failed its checksum
    DAMAGED = "damaged"  #: files of the store are damaged, or a table is missing; the remaining data is kept
    REJECTED = "rejected"  #: the store refused the batch (unknown table, wrong schema)


#: reasons that concern only data stored on the node: no table lacks these rows
OF_THE_NODE = (LossReason.EVICTED, LossReason.DISK_FULL)

#: name of the per-CPU array in programs that we compile. It has one u64 for each reason of KERNEL_LOSS_SLOTS, in that
#: order. The C side is quarterdeck/losses.h, which gets the indices from here
KERNEL_LOSSES_MAP = "qd_losses"
KERNEL_LOSS_SLOTS = (LossReason.RING_FULL, LossReason.MAP_FULL)


class Loss(Wire, frozen=True, kw_only=True):
    """A number of rows of one table that were lost for one reason."""

    table: Name
    reason: LossReason
    rows: int
    module: Name = ""
    time_ns: int = 0  #: nanoseconds since the epoch when the loss was noticed
    detail: Text = ""


LOSSES_TABLE = Table(
    name="losses",
    description="Rows that were lost: where, how many and why",
    retention_s=30 * 86400,
    order=("nid", "table", "time"),
    columns=(
        Column(name="time", type=ColumnType.TIMESTAMP, description="when the loss was noticed"),
        Column(name="module", type=ColumnType.STRING, description="the module whose rows they were"),
        Column(name="table", type=ColumnType.STRING, description="the table the rows belonged to"),
        Column(name="reason", type=ColumnType.STRING, description="one of the loss reasons"),
        Column(name="rows", type=ColumnType.UINT64, unit="rows", description="how many rows were lost"),
        Column(name="detail", type=ColumnType.STRING, description="further information"),
    ),
)
