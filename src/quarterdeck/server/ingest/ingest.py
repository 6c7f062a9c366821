"""Ingest: batches of many agents become few large inserts, each batch exactly once.

A round takes what came in while the round before was stored, waiting a little for more when there is little. Each
table of a round is one insert, however many agents its rows come from. `accept` returns when a batch, or why it is
lost, is on disk. Owns the waiting batches and the rounds; what happens once is the business of `inserts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable

from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.errors import BadFrame, BadQuery, QuarterdeckError, Unavailable
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.ingest.rounds import Item, Lost, Pile, Round, losses_pile, one_by_one, refuse, sort_out
from quarterdeck.server.tables import Tables

log = logging.getLogger(__name__)

#: told the table and the group of every insert
Arrived = Callable[[str, int], None]

_ROUND_BYTES = 256 * 1024 * 1024  # of one round's batches, decompressed; its memory is a few times that
_EPOCH_LIMIT = 128  # characters
_SEQ_LIMIT = 2**62


class Ingest:
    """Takes batches and answers when they are on disk. `interval_s` and `rows` bound how long a batch waits."""

    def __init__(
        self,
        inserts: Inserts,
        tables: Tables,
        *,
        interval_s: float = 0.25,
        rows: int = 250_000,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._inserts = inserts
        self._tables = tables
        self._interval_s = interval_s
        self._rows = rows
        self._clock_ns = clock_ns
        self._listeners: list[Arrived] = []
        self._items: dict[tuple[str, str, int], Item] = {}
        self._waiting: deque[Item] = deque()
        self._waiting_rows = 0
        self._news = asyncio.Event()
        self._enough = asyncio.Event()
        self._ending = False
        self._trouble = ""  # why the last round was not stored
        self._worker: asyncio.Task[None] | None = None

    def listen(self, listener: Arrived) -> None:
        """Have `listener` told of every insert, after it is on disk."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Clear up what was interrupted, then take batches. The tables must be open."""
        await self._inserts.recover()
        self._worker = asyncio.create_task(self._work(), name="ingest")

    async def stop(self) -> None:
        """Store what is waiting, then end. `accept` raises `Unavailable` from now on."""
        self._ending = True
        self._news.set()
        self._enough.set()
        if self._worker is not None:
            await self._worker

    async def accept(self, agent: AgentIdentity, batch: TelemetryBatch) -> None:
        """Return when the batch is stored, or refused for good and counted as lost; both are on disk then.

        `Unavailable` (or `StorageFull`): not stored; offer it again after `retry_after_s`. A repeat is harmless,
        whenever it comes. `BadFrame` when the batch cannot even be named.
        """
        key = (agent.agent_id, batch.epoch, batch.seq)
        if not batch.epoch or len(batch.epoch) > _EPOCH_LIMIT or not 0 <= batch.seq < _SEQ_LIMIT:
            raise BadFrame(f"Expected an epoch of 1 to {_EPOCH_LIMIT} characters and a number from 0 on, found {key}.")
        table = await self._tables.version(batch.fingerprint) if batch.rows > 0 else None
        item = Item(agent, batch, table, asyncio.get_running_loop().create_future())
        await self._inserts.recall(item.rows_id)
        # from here to `_put` nothing else runs: what is not stored and not waiting now is put exactly once
        known = self._items.get(key)
        if known is None:
            item.losses_stored = self._inserts.has(item.losses_id)
            if batch.rows > 0 and not self._inserts.has(item.rows_id):
                item.open.add(item.rows_id)
            if batch.losses and not item.losses_stored:
                item.open.add(item.losses_id)
            if not item.open:
                return
            self._put(key, item)
            known = item
        await asyncio.shield(known.done)

    def _put(self, key: tuple[str, str, int], item: Item) -> None:
        if self._ending:
            raise Unavailable("The server is stopping.")
        self._items[key] = item
        item.done.add_done_callback(lambda done: self._forget(key, done))
        self._waiting.append(item)
        self._waiting_rows += max(0, item.batch.rows)
        self._news.set()
        if self._waiting_rows >= self._rows:
            self._enough.set()

    def _forget(self, key: tuple[str, str, int], done: asyncio.Future[None]) -> None:
        del self._items[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; nobody may be left

    async def _work(self) -> None:
        while not (self._ending and not self._waiting):
            await self._news.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._enough.wait()
            items = self._take()
            try:
                await self._store(items)
                self._say("")
            except QuarterdeckError as error:
                self._say(str(error))
                _fail(items, error)
            except Exception:
                log.exception("a round of %d batches could not be stored", len(items))
                _fail(items, Unavailable("The batch could not be stored; the server's log says why."))

    def _say(self, trouble: str) -> None:
        """Log why nothing can be stored, and when it can again: once, though agents offer their batches for ever."""
        if trouble and trouble != self._trouble:
            log.warning("telemetry cannot be stored now, agents keep it: %s", trouble)
        elif self._trouble and not trouble:
            log.info("telemetry is stored again")
        self._trouble = trouble

    def _take(self) -> list[Item]:
        """What the next round stores: the oldest batches, as many as make a large insert."""
        taken: list[Item] = []
        rows = size = 0
        while self._waiting and rows < self._rows and size < _ROUND_BYTES:
            item = self._waiting.popleft()
            taken.append(item)
            rows += max(0, item.batch.rows)
            size += item.size_bytes
        self._waiting_rows -= rows
        if not self._waiting and not self._ending:
            self._news.clear()
        if self._waiting_rows < self._rows and not self._ending:
            self._enough.clear()
        return taken

    async def _store(self, items: list[Item]) -> None:
        await self._inserts.settle()
        retention_s = {item.table.name: self._tables.retention_s(item.table.name) for item in items if item.table}
        found: Round = await asyncio.to_thread(sort_out, items, retention_s=retention_s, now_ns=self._clock_ns())
        if found.losses is not None:
            await self._insert(found.losses)
        refused: list[Lost] = []
        for pile in found.tables:
            try:
                await self._insert(pile)
            except BadQuery:
                refused += await self._insert_one_by_one(pile)
        last = losses_pile(refused, now_ns=self._clock_ns())
        if last is not None:
            await self._insert(last)

    async def _insert_one_by_one(self, pile: Pile) -> list[Lost]:
        """The batches of a pile that the store will never take; the others are stored."""
        refused: list[Lost] = []
        for single in await asyncio.to_thread(one_by_one, pile):
            try:
                await self._insert(single)
            except BadQuery as error:
                refused.append(Lost(single.items[0]))
                refuse(refused[-1], str(error))
        return refused

    async def _insert(self, pile: Pile) -> None:
        floors: dict[tuple[str, str], int] = {}
        for item in pile.items:
            key = (item.agent.agent_id, item.batch.epoch)
            floors[key] = max(item.floor, floors.get(key, 0))
        group = await self._inserts.insert(
            pile.table, pile.rows, gids=pile.gids, nids=pile.nids, batches=pile.ids, floors=floors
        )
        settled = set(pile.ids)
        for item in pile.items:
            item.open -= settled
            if not item.open and not item.done.done():
                item.done.set_result(None)
        for listener in self._listeners:
            listener(pile.table.name, group)


def _fail(items: list[Item], error: QuarterdeckError) -> None:
    """Those that are not stored are to be offered again."""
    if not isinstance(error, Unavailable):
        error = Unavailable(f"The batch could not be stored: {error}")
    for item in items:
        if not item.done.done():
            item.done.set_exception(error)
