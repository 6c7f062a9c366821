"""An ingest journal in memory: the part of the state store that `server.inserts` and `server.tables` need, for tests.

Its contents are lost when the process ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.model.errors import Conflict
from quarterdeck.model.ingest import BatchId, PendingInsert
from quarterdeck.model.tables import Table


class MemoryJournal:
    """A journal with the same guarantees as the one in the state store, except after a restart."""

    def __init__(self) -> None:
        self._pending: dict[int, PendingInsert] = {}
        self._stored: dict[tuple[str, str], set[int]] = {}
        self._present: dict[str, Table] = {}
        self._versions: dict[str, Table] = {}

    async def begin(self, group: int, table: str, batches: Sequence[BatchId]) -> None:
        """Record that an insert is about to start."""
        begun = {batch for insert in self._pending.values() for batch in insert.batches}
        stored = any(batch.seq in self._stored.get((batch.origin, batch.epoch), ()) for batch in batches)
        if group in self._pending or stored or begun.intersection(batches):
            raise Conflict(f"A batch of insert {group} was begun or stored before.")
        self._pending[group] = PendingInsert(group=group, table=table, batches=tuple(batches))

    async def commit(self, group: int, floors: Mapping[tuple[str, str], int]) -> None:
        """Record that an insert succeeded: its batches are stored, and those below the floors are removed."""
        insert = self._pending.pop(group, None)
        for batch in insert.batches if insert else ():  # a repeated batch changes nothing
            self._stored.setdefault((batch.origin, batch.epoch), set()).add(batch.seq)
        for key, floor in floors.items():
            self._stored[key] = {seq for seq in self._stored.get(key, set()) if seq >= floor}

    async def discard(self, group: int) -> None:
        """Record that an insert did not succeed."""
        self._pending.pop(group, None)

    async def pending(self) -> list[PendingInsert]:
        """Return the inserts that were begun and are neither committed nor discarded."""
        return [self._pending[group] for group in sorted(self._pending)]

    async def stored(self, origin: str, epoch: str) -> set[int]:
        """Return the batches of an epoch that are stored."""
        return set(self._stored.get((origin, epoch), set()))

    async def register_table(self, table: Table) -> None:
        """Add a version of a table, which becomes the current one."""
        self._present[table.name] = self._versions[table.fingerprint] = table

    async def table_by_fingerprint(self, fingerprint: str) -> Table | None:
        """Return the version with this fingerprint."""
        return self._versions.get(fingerprint)

    async def tables(self) -> list[Table]:
        """Return the current version of every table."""
        return [self._present[name] for name in sorted(self._present)]
