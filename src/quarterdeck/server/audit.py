"""The audit log: every change requested through the API, who requested it, and its result.

Owns the length of the log and of its texts. It never decides what is audited: its callers do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.audit import AuditEntry
from quarterdeck.server.names import check_limit
from quarterdeck.store.state import audit as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.database import Database

Entries = list[AuditEntry]
#: characters of a request's target or detail that are kept
TEXT_LIMIT = 1000


class Audit:
    """Writes and lists the log, of which the newest `entries` are kept. An entry is on disk when `record` returns."""

    def __init__(self, database: Database, *, entries: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._entries = entries
        self._clock = clock

    async def record(
        self, *, actor: str, role: str, action: str, target: str, result: str = "ok", detail: str = ""
    ) -> None:
        """Record that `actor` (a token's name) requested `action` on `target`; `result` is "ok" or an error's code."""
        async with self._database.write() as transaction:
            await self.add(transaction, [Entry(actor, role, action, target, result, detail)])

    async def add(self, transaction: AsyncConnection, entries: Sequence[Entry]) -> None:
        """Record entries within the transaction of the change that they describe."""
        stored = [entry._replace(target=_storable(entry.target), detail=_storable(entry.detail)) for entry in entries]
        if stored:
            await rows.add(transaction, stored, time=self._clock(), kept=self._entries)

    async def list(self, *, since: float | None = None, limit: int = 100) -> Entries:
        """Return the last entries, the newest first, or those since a moment; raise `BadInput` for a wrong limit."""
        async with self._database.read() as transaction:
            return await rows.find_newest(transaction, check_limit(limit), since=since)


def _storable(text: str) -> str:
    """Return the text, shortened, in a form that the store accepts: PostgreSQL accepts no NUL in a text."""
    return text[:TEXT_LIMIT].replace("\0", "\N{REPLACEMENT CHARACTER}")
