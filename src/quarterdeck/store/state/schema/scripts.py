"""Scripts of commands and schedules."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata


class ScriptColumns(TypedColumns):
    """The bytes of a script that commands or schedules name."""

    sha256: Named[str] = Column(primary_key=True)
    size: Named[int]
    body: Named[bytes]


script = Table("script", metadata, ScriptColumns)
