"""The audit log."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata


class AuditColumns(TypedColumns):
    """One requested change."""

    id: Named[int] = Column(primary_key=True)
    time: Named[float]
    actor: Named[str]
    role: Named[str]
    action: Named[str]
    target: Named[str]
    result: Named[str]
    detail: Named[str]


audit = Table("audit", metadata, AuditColumns)
