"""Inserts into the telemetry store and the batches in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Named, Table, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata


class IngestGroupColumns(TypedColumns):
    """An insert into the telemetry store that began and may not have finished."""

    group: Named[int] = Column("group_id", BigInteger, primary_key=True, autoincrement=False)
    table: Named[str] = Column("table_name")


class IngestBatchColumns(TypedColumns):
    """A batch that is stored, or (with `group`) part of a pending insert."""

    origin: Named[str] = Column(primary_key=True)
    epoch: Named[str] = Column(primary_key=True)
    seq: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    table: Named[str] = Column("table_name", primary_key=True)
    group: Named[int | None] = Column("group_id", BigInteger)


ingest_group = Table("ingest_group", metadata, IngestGroupColumns)
ingest_batch = Table("ingest_batch", metadata, IngestBatchColumns, sqlite_with_rowid=False)
Index("ix_ingest_batch_group", ingest_batch.c.group)
