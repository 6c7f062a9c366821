"""The schemas of telemetry tables."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.model import tables
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json


class TableSchemaColumns(TypedColumns):
    """A current or earlier schema of a table; the one registered last is the current one."""

    fingerprint: Named[str] = Column(primary_key=True)
    name: Named[str]
    body: Named[tables.Table] = Column(Json(tables.Table))
    registered: Named[int]  #: grows with every registration


table_schema = Table("table_schema", metadata, TableSchemaColumns)
