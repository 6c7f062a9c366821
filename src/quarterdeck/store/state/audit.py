"""Rows of the audit log. They are added and read, never changed; the oldest make room for new ones."""

from __future__ import annotations

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.audit import AuditEntry
from quarterdeck.store.state.schema import audit


async def add(
    connection: AsyncConnection,
    *,
    time: float,
    actor: str,
    role: str,
    action: str,
    target: str,
    result: str,
    detail: str,
    kept: int,
) -> None:
    """One change that was asked for. Of all entries the newest `kept` stay."""
    added = await connection.execute(
        insert(audit)
        .values(time=time, actor=actor, role=role, action=action, target=target, result=result, detail=detail)
        .returning(audit.c.id)
    )
    surplus = added.scalar_one() - kept
    if surplus > 0:
        await connection.execute(delete(audit).where(audit.c.id <= surplus))


async def find_newest(connection: AsyncConnection, limit: int) -> list[AuditEntry]:
    """The last `limit` entries, the newest first."""
    rows = await connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit))
    return [AuditEntry(**row) for row in rows.mappings()]
