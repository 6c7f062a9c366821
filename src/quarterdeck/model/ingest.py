"""Ingest: how a batch of rows is recognised when it comes again, and inserts that were begun and not yet confirmed."""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class BatchId(Struct, frozen=True, kw_only=True):
    """A part of one agent's batch that the store has or has not: its rows, or what it says of losses."""

    agent_id: str
    epoch: str
    seq: int  #: of the rows of batch n: 2n; of its losses: 2n + 1


class PendingInsert(Struct, frozen=True, kw_only=True):
    """An insert that was begun: after a crash, only the table can say whether its rows are there."""

    group: int  #: written to the column `_insert` of every row of the insert
    table: str
    batches: tuple[BatchId, ...]
