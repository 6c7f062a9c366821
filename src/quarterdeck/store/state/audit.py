"""Rows of the audit log. They are added and read, never changed; the oldest are removed for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.audit import AuditEntry
from quarterdeck.store.state.direct import Direct
from quarterdeck.store.state.schema import audit


class Entry(NamedTuple):
    """One requested change."""

    actor: str
    role: str
    action: str
    target: str
    result: str = "ok"
    detail: str = ""


async def add(connection: AsyncConnection, entries: Sequence[Entry], *, time: float, kept: int) -> None:
    """Add entries, and keep only the newest `kept` of all entries."""
    await _ADD.run(connection, [{"time": time, **entry._asdict()} for entry in entries])
    ((newest,),) = await _NEWEST.find(connection, {})
    surplus = newest - kept
    if surplus > 0:
        await connection.execute(delete(audit).where(audit.c.id <= surplus))


_ADD = Direct(insert(audit))
_NEWEST = Direct(select(func.max(audit.c.id)))


async def find_newest(connection: AsyncConnection, limit: int, *, since: float | None = None) -> list[AuditEntry]:
    """Return the last `limit` entries, the newest first; with `since` those from then on."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    rows = await connection.execute(query if since is None else query.where(audit.c.time >= since))
    return [AuditEntry(**row) for row in rows.mappings()]
