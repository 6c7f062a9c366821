"""Saved queries."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.model.saved_queries import QueryView
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Word


class SavedQueryColumns(TypedColumns):
    """SQL under a name."""

    name: Named[str] = Column(primary_key=True)
    sql: Named[str]
    description: Named[str]
    view: Named[QueryView] = Column(Word(QueryView))
    version: Named[str]
    actor: Named[str]
    create_time: Named[float]
    changed_by: Named[str]
    last_update_time: Named[float]


saved_query = Table("saved_query", metadata, SavedQueryColumns)
