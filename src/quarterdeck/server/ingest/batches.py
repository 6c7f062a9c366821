"""Batches that are to be stored, whoever sent them.

A sender numbers its batches within an epoch, so that a repeated one is recognised. The rows of a batch come encoded, as
agents send them, or as columns that the server made of another protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.ingest import Origin
from quarterdeck.model.losses import Loss
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.tables import Table
from quarterdeck.store.telemetry.batches import Rows, decode, decompressed_bytes, wire_schema


class Content(Protocol):
    """Rows of one version of a table."""

    def size_bytes(self, limit_bytes: int) -> int:
        """Return the memory that the rows take while they are stored."""
        ...

    def columns(self, table: Table, limit_bytes: int) -> Rows:
        """Return the rows in the table's wire schema; raise `BadFrame` if they are not valid, or over the limit."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as an agent encodes them: a compressed Arrow stream, which is not trusted."""

    body: bytes

    def size_bytes(self, limit_bytes: int) -> int:
        """Return the bytes as received, and decompressed unless that exceeds the limit."""
        return len(self.body) + decompressed_bytes(self.body, limit_bytes=limit_bytes)

    def columns(self, table: Table, limit_bytes: int) -> Rows:
        """Return the rows, checked."""
        return decode(table, self.body, limit_bytes=limit_bytes)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Rows that the server made itself, in the table's wire schema."""

    rows: Rows

    def size_bytes(self, limit_bytes: int) -> int:  # noqa: ARG002 (it is in memory already)
        """Return the bytes of all columns."""
        return int(self.rows.nbytes)

    def columns(self, table: Table, limit_bytes: int) -> Rows:
        """Return the rows."""
        if not self.rows.schema.equals(wire_schema(table)):
            raise BadFrame(f"Table '{table.name}' has the columns {wire_schema(table)}, found {self.rows.schema}.")
        if self.rows.nbytes > limit_bytes:
            raise BadFrame(f"A batch may take {limit_bytes} bytes, this one takes {self.rows.nbytes}.")
        return self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingBatch:
    """Rows of one table and losses of one origin, identified by origin, epoch and number."""

    origin: Origin
    epoch: str
    seq: int
    floor: int = 0  #: batches of the epoch below it are never repeated
    table: str = ""
    fingerprint: str = ""  #: the version of the table
    module: str = ""
    rows: int = 0  #: stated number of rows; 0: only losses
    content: Content = Encoded(b"")
    losses: tuple[Loss, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what identifies the batch."""
        return (self.origin.id, self.epoch, self.seq)

    def __str__(self) -> str:
        """Return a short name of the batch and its node. The table's name is not trusted, so it is quoted."""
        return f"batch {self.seq} of table {self.table[:64]!r} by node {self.origin.gid}/{self.origin.nid}"


def from_agent(agent: AgentIdentity, batch: TelemetryBatch) -> IncomingBatch:
    """Return a batch that an agent sent over the link."""
    return IncomingBatch(
        origin=Origin(agent.agent_id, agent.gid, agent.nid),
        epoch=batch.epoch,
        seq=batch.seq,
        floor=batch.floor,
        table=batch.table,
        fingerprint=batch.fingerprint,
        module=batch.module,
        rows=batch.rows,
        content=Encoded(batch.body),
        losses=batch.losses,
    )
