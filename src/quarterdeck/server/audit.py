"""The audit log: every change that was asked for through the API, by whom, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.audit import AuditEntry
from quarterdeck.store.state import audit as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.database import Database

Entries = list[AuditEntry]
#: characters kept of what a request names as its target or detail
TEXT_LIMIT = 1000


class Audit:
    """Writes and lists the log; the newest `entries` are kept. An entry is on disk when `record` returns."""

    def __init__(self, database: Database, *, entries: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._entries = entries
        self._clock = clock

    async def record(
        self, *, actor: str, role: str, action: str, target: str, result: str = "ok", detail: str = ""
    ) -> None:
        """`actor` (a token's name) with `role` asked for `action` on `target`; `result` is "ok" or an error's code."""
        async with self._database.write() as transaction:
            await self.add(transaction, [Entry(actor, role, action, target, result, detail)])

    async def add(self, transaction: AsyncConnection, entries: Sequence[Entry]) -> None:
        """The same as part of a change, many at a time: all is on disk, or nothing."""
        stored = [entry._replace(target=_storable(entry.target), detail=_storable(entry.detail)) for entry in entries]
        if stored:
            await rows.add(transaction, stored, time=self._clock(), kept=self._entries)

    async def list(self, *, limit: int = 100) -> Entries:
        """The last entries, the newest first."""
        async with self._database.read() as transaction:
            return await rows.find_newest(transaction, max(0, min(limit, 10_000)))


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL in a text."""
    return text[:TEXT_LIMIT].replace("\0", "\N{REPLACEMENT CHARACTER}")
