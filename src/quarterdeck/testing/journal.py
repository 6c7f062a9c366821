"""An ingest journal in memory: what `server.inserts` and `server.tables` need of the state store, for tests.

It forgets everything with the process, and so does not survive what the real one survives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.model.ingest import BatchId, PendingInsert
from quarterdeck.model.tables import Table


class MemoryJournal:
    """The same promises as the journal in the state store, but for a restart."""

    def __init__(self) -> None:
        self._pending: dict[int, PendingInsert] = {}
        self._stored: dict[tuple[str, str], set[int]] = {}
        self._present: dict[str, Table] = {}
        self._versions: dict[str, Table] = {}

    async def begin(self, group: int, table: str, batches: Sequence[BatchId]) -> None:
        """An insert is about to start."""
        if group in self._pending:
            raise ValueError(f"insert {group} was begun before")
        self._pending[group] = PendingInsert(group=group, table=table, batches=tuple(batches))

    async def commit(self, group: int, floors: Mapping[tuple[str, str], int]) -> None:
        """An insert happened: its batches are stored, and those below the floors forgotten."""
        for batch in self._pending.pop(group).batches:
            self._stored.setdefault((batch.agent_id, batch.epoch), set()).add(batch.seq)
        for key, floor in floors.items():
            self._stored[key] = {seq for seq in self._stored.get(key, set()) if seq >= floor}

    async def discard(self, group: int) -> None:
        """An insert did not happen."""
        self._pending.pop(group, None)

    async def pending(self) -> list[PendingInsert]:
        """Inserts that were begun and are neither committed nor discarded."""
        return [self._pending[group] for group in sorted(self._pending)]

    async def stored(self, agent_id: str, epoch: str) -> set[int]:
        """Batches of an epoch that are stored."""
        return set(self._stored.get((agent_id, epoch), set()))

    async def register_table(self, table: Table) -> None:
        """A version of a table; it becomes the present one."""
        self._present[table.name] = self._versions[table.fingerprint] = table

    async def table_by_fingerprint(self, fingerprint: str) -> Table | None:
        """The version with this fingerprint."""
        return self._versions.get(fingerprint)

    async def tables(self) -> list[Table]:
        """The present version of every table."""
        return [self._present[name] for name in sorted(self._present)]
