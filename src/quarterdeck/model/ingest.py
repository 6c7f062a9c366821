"""Ingest: where rows come from, the ids of repeated batches, and inserts that were begun and are not yet confirmed."""

from __future__ import annotations

from typing import NamedTuple

from quarterdeck.model.struct import Struct


class Origin(Struct, frozen=True):
    """A sender of telemetry, and the node to which its rows belong."""

    id: str  #: of an agent, or of a part of the server; batches are numbered by origin
    gid: int
    nid: int  #: 0 for rows that belong to no node


class BatchId(Struct, frozen=True, kw_only=True):
    """The id of one part of a batch: its rows or its losses. The store inserts a part as a whole."""

    origin: str
    epoch: str
    seq: int  #: 2n for the rows of batch n, 2n + 1 for its losses


class StoredInsert(NamedTuple):
    """An insert that is on disk: its table, and the group that all of its rows carry."""

    table: str
    group: int


class PendingInsert(Struct, frozen=True, kw_only=True):
    """An insert that was begun. After a crash, only a query of the table shows whether it contains the rows."""

    group: int  #: written to the column `_insert` of every row of the insert
    table: str
    batches: tuple[BatchId, ...]
