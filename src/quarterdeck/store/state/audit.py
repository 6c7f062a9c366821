"""Rows of the audit log. They are added and read, never changed; the oldest make room for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.audit import AuditEntry
from quarterdeck.store.state.schema import audit


class Entry(NamedTuple):
    """One change that was asked for."""

    actor: str
    role: str
    action: str
    target: str
    result: str = "ok"
    detail: str = ""


async def add(connection: AsyncConnection, entries: Sequence[Entry], *, time: float, kept: int) -> None:
    """New entries. Of all entries the newest `kept` stay."""
    await connection.execute(insert(audit), [{"time": time, **entry._asdict()} for entry in entries])
    surplus = (await connection.execute(select(func.max(audit.c.id)))).scalar_one() - kept
    if surplus > 0:
        await connection.execute(delete(audit).where(audit.c.id <= surplus))


async def find_newest(connection: AsyncConnection, limit: int) -> list[AuditEntry]:
    """The last `limit` entries, the newest first."""
    rows = await connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit))
    return [AuditEntry(**row) for row in rows.mappings()]
