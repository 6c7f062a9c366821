"""Inserts that happen exactly once: each is written into the journal before it starts and after it is done.

An insert has a number, its group, which all of its rows carry. When it is unknown whether an insert happened (a crash,
a lost connection, a full disk), the table is searched for rows of that group: an insert is stored as a whole or not at
all. Its batches are acknowledged only after that. Owns the journal and which batches it has. It never decides which
batches form an insert, nor when.
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

from quarterdeck.model.errors import Conflict, QuarterdeckError, Unavailable
from quarterdeck.model.ingest import BatchId, PendingInsert
from quarterdeck.model.tables import Table
from quarterdeck.store.telemetry.batches import Rows
from quarterdeck.store.telemetry.clickhouse import TelemetryStore

log = logging.getLogger(__name__)

Floors = Mapping[tuple[str, str], int]

#: how many servers may share a store; the last digits of a group identify its server
SERVERS = 1000
#: ids are forgotten this many at a time: each time is a statement of the journal
FORGET_AT = 32
_REMEMBERED = 20_000  # outboxes whose stored batches are kept in memory


class IngestJournal(Protocol):
    """The durable record of inserts that were begun, and of batches that are stored."""

    async def begin(self, group: int, table: str, batches: Sequence[BatchId]) -> None:
        """Record an insert as begun; `Conflict` when one of the batches was begun or stored before."""
        ...

    async def commit(self, group: int, floors: Floors) -> None:
        """Record an insert as stored. `floors`: (origin, epoch) → ids below it are forgotten, as none is repeated."""
        ...

    async def discard(self, group: int) -> None: ...

    async def pending(self) -> Sequence[PendingInsert]: ...

    async def stored(self, origin: str, epoch: str) -> set[int]: ...


class Inserts:
    """The inserts of one server, one at a time. `server` distinguishes servers that share the stores."""

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
        """Find out whether the inserts happened that were in progress when this server last ended."""
        self._last_us = await asyncio.to_thread(self._store.last_group) // SERVERS
        await self._look()
        await self.settle()

    async def _look(self) -> None:
        """Treat the inserts that the journal shows as begun as unsettled."""
        for insert in await self._journal.pending():
            if insert.group % SERVERS == self._server:
                self._unsettled[insert.group] = insert

    async def settle(self) -> None:
        """Find out whether each unsettled insert happened; raise `Unavailable` to retry later."""
        for insert in list(self._unsettled.values()):
            happened = await asyncio.to_thread(self._store.holds, insert.table, insert.group)
            log.info("insert %d into %s %s", insert.group, insert.table, "happened" if happened else "did not happen")
            if happened:
                await self._commit(insert, {})
            else:
                await self._journal.discard(insert.group)
                del self._unsettled[insert.group]

    async def recall(self, *batches: BatchId) -> None:
        """Read from the journal whether these batches are stored, for `has`."""
        for batch in batches:
            key = (batch.origin, batch.epoch)
            if key not in self._stored:
                read = await self._journal.stored(*key)
                self._stored.setdefault(key, read)
            self._stored.move_to_end(key)
        while len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)

    def has(self, batch: BatchId) -> bool:
        """Return whether the store has this batch. Call it right after `recall`."""
        return batch.seq in self._stored[batch.origin, batch.epoch]

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
        """Store the rows and record their batches; return the group. On return both are on disk.

        Raise `BadQuery` if the store will never accept these rows, `TooLarge` if it may accept fewer at a time, and
        `Unavailable` if nothing was stored, or if that is unknown and `settle` must succeed before these batches are
        offered again.
        """
        group = self._next_group()
        insert = PendingInsert(group=group, table=table.name, batches=tuple(batches))
        self._unsettled[group] = insert
        try:
            await self._journal.begin(group, table.name, batches)
            await asyncio.to_thread(self._store.insert, table, rows, gids=gids, nids=nids, group=group)
        except Conflict as error:
            # the journal committed a transaction whose confirmation was lost, perhaps after it was read
            del self._unsettled[group]
            for batch in batches:
                self._stored.pop((batch.origin, batch.epoch), None)
            await self._look()
            raise Unavailable("The journal has some of these batches already; they will be looked up.") from error
        except QuarterdeckError as error:
            await self.settle()
            if not isinstance(error, Unavailable) or not await self._all_stored(batches):
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
            self._stored.get((batch.origin, batch.epoch), set[int]()).add(batch.seq)
        for key in worth:
            self._stored[key] -= below[key]

    def _next_group(self) -> int:
        """Return the next group: nanoseconds since the epoch, always increasing, whose last digits are the server's."""
        self._last_us = max(self._last_us + 1, self._clock_ns() // 1000)
        return self._last_us * SERVERS + self._server
