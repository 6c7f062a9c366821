"""Inserts that happen exactly once: each is written into the journal before it starts and after it is done.

An insert has a number, its group, which every row of it carries. When it is unknown whether an insert happened
(a crash, a lost connection, a full disk), the table is asked for rows of that group: an insert is there as a whole or
not at all. Only then is anything said about its batches. Owns the journal and what it says of batches; it never decides
what belongs together, nor when.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quarterdeck.model.errors import BadQuery, QuarterdeckError
from quarterdeck.model.ingest import BatchId, PendingInsert
from quarterdeck.model.tables import Table
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.rows import Rows

log = logging.getLogger(__name__)

Floors = Mapping[tuple[str, str], int]

#: how many servers may share a store; the last digits of a group say whose it is
SERVERS = 1000
#: ids are forgotten so many at a time: each forgetting is a statement of the journal
FORGET_AT = 32
_REMEMBERED = 20_000  # outboxes whose stored batches are kept in memory


class IngestJournal(Protocol):
    """What survives a crash: inserts that were begun, and batches that are stored."""

    async def begin(self, group: int, table: str, batches: Sequence[BatchId]) -> None: ...

    async def commit(self, group: int, floors: Floors) -> None:
        """`floors`: (agent, epoch) → ids below which are forgotten, because they are never asked for again."""
        ...

    async def discard(self, group: int) -> None: ...

    async def pending(self) -> Sequence[PendingInsert]: ...

    async def stored(self, agent_id: str, epoch: str) -> set[int]: ...


class Inserts:
    """The inserts of one server. `server` tells servers that share the stores apart. One insert at a time."""

    def __init__(
        self,
        store: TelemetryStore,
        journal: IngestJournal,
        *,
        server: int = 0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._journal = journal
        self._server = server % SERVERS
        self._clock_ns = clock_ns
        self._last_us = 0
        self._unsettled: dict[int, PendingInsert] = {}
        self._stored: OrderedDict[tuple[str, str], set[int]] = OrderedDict()

    async def recover(self) -> None:
        """Find out what became of the inserts that were under way when this server last ended."""
        self._last_us = await asyncio.to_thread(self._store.last_group) // SERVERS
        for insert in await self._journal.pending():
            if insert.group % SERVERS == self._server:
                self._unsettled[insert.group] = insert
        await self.settle()

    async def settle(self) -> None:
        """Clear up every insert of which it is unknown whether it happened; `Unavailable` when that must wait."""
        for insert in list(self._unsettled.values()):
            happened = await asyncio.to_thread(self._store.holds, insert.table, insert.group)
            log.info("insert %d into %s %s", insert.group, insert.table, "happened" if happened else "did not happen")
            if happened:
                await self._commit(insert, {})
            else:
                await self._journal.discard(insert.group)
                del self._unsettled[insert.group]

    async def recall(self, *batches: BatchId) -> None:
        """Read from the journal what `has` is to know of these batches."""
        for batch in batches:
            key = (batch.agent_id, batch.epoch)
            if key not in self._stored:
                read = await self._journal.stored(*key)
                self._stored.setdefault(key, read)
            self._stored.move_to_end(key)
        while len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)

    def has(self, batch: BatchId) -> bool:
        """Whether the store has this batch; right after `recall`."""
        return batch.seq in self._stored[batch.agent_id, batch.epoch]

    async def insert(
        self,
        table: Table,
        rows: Rows,
        *,
        gids: NDArray[np.uint32],
        nids: NDArray[np.uint32],
        batches: Sequence[BatchId],
        floors: Floors,
    ) -> int:
        """Store the rows and remember their batches; the group. On return both are on disk.

        `BadQuery`: the store will never take these rows. `Unavailable`: nothing was stored, or it is not known yet
        and `settle` must succeed before these batches are offered again.
        """
        group = self._next_group()
        insert = PendingInsert(group=group, table=table.name, batches=tuple(batches))
        self._unsettled[group] = insert
        try:
            await self._journal.begin(group, table.name, batches)
            await asyncio.to_thread(self._store.insert, table, rows, gids=gids, nids=nids, group=group)
        except QuarterdeckError as error:
            await self.settle()
            if isinstance(error, BadQuery) or not await self._all_stored(batches):
                raise
            return group  # the connection broke after the rows were stored
        await self._commit(insert, floors)
        return group

    async def _all_stored(self, batches: Sequence[BatchId]) -> bool:
        await self.recall(*batches)
        return all(self.has(batch) for batch in batches)

    async def _commit(self, insert: PendingInsert, floors: Floors) -> None:
        below = {key: {seq for seq in self._stored.get(key, ()) if seq < floor} for key, floor in floors.items()}
        worth = {key: floors[key] for key, seqs in below.items() if len(seqs) >= FORGET_AT}
        await self._journal.commit(insert.group, worth)
        self._unsettled.pop(insert.group, None)
        for batch in insert.batches:
            self._stored.get((batch.agent_id, batch.epoch), set[int]()).add(batch.seq)
        for key in worth:
            self._stored[key] -= below[key]

    def _next_group(self) -> int:
        """Nanoseconds since the epoch, always growing, whose last digits are the server's."""
        self._last_us = max(self._last_us + 1, self._clock_ns() // 1000)
        return self._last_us * SERVERS + self._server
