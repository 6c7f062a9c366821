"""Services."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.model.services import Service
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json


class ServiceColumns(TypedColumns):
    """A program that the nodes which match its selector keep running."""

    name: Named[str] = Column(primary_key=True)
    group: Named[str] = Column("group_name")
    version: Named[str]
    body: Named[Service] = Column(Json(Service))
    actor: Named[str]
    create_time: Named[float]
    last_update_time: Named[float]


service = Table("service", metadata, ServiceColumns)
