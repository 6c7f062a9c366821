"""Ingest: batches of many senders become few large inserts, each batch exactly once.

A round takes the batches that arrived while the previous round was stored; it waits a little for more when there are
few. Each table of a round is one insert, however many senders its rows come from. If one batch makes a round fail, the
round is halved until that batch is found: it is counted as a loss, and the others are stored. `accept` returns when a
batch, or the reason for its loss, is on disk. Owns the waiting batches and the rounds. It never writes to a store:
`inserts` does, exactly once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from quarterdeck.kit.race import within
from quarterdeck.kit.tasks import own_cancellation
from quarterdeck.model.errors import BadFrame, BadInput, Unavailable
from quarterdeck.model.ingest import BatchId, StoredInsert
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.ingest.batches import IncomingBatch
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.ingest.rounds import Item, Pile, Round, Tag, losses_pile, refused_alone, sort_out, untagged
from quarterdeck.server.signals import Signal, Signals
from quarterdeck.server.tables import Tables
from quarterdeck.store.telemetry.batches import LIMIT_BYTES

log = logging.getLogger(__name__)

#: inserts that are on disk
INSERTS = Signal("inserts", StoredInsert)

_EPOCH_LIMIT = 128  # characters
_SEQ_LIMIT = 2**62
_AHEAD_LIMIT = 10_000  # nodes and tables


class Ingest:
    """Accepts batches and returns when they are on disk. `interval_s` and `rows` bound how long a batch waits.

    `limit_bytes` is the decompressed size that an insert can hold, and so the limit of a round and of each batch. `tag`
    adds tags to the rows of each insert.
    """

    def __init__(
        self,
        inserts: Inserts,
        tables: Tables,
        *,
        signals: Signals,
        interval_s: float = 0.25,
        rows: int = 250_000,
        limit_bytes: int = LIMIT_BYTES,
        tag: Tag = untagged,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._inserts = inserts
        self._tables = tables
        self._interval_s = interval_s
        self._rows = rows
        self._limit_bytes = limit_bytes
        self._tag = tag
        self._clock_ns = clock_ns
        self._signals = signals
        self._items: dict[tuple[str, str, int], Item] = {}
        self._waiting: deque[Item] = deque()
        self._waiting_rows = 0
        self._news = asyncio.Event()
        self._enough = asyncio.Event()
        self._ending = False
        self._ahead: set[tuple[NodeKey, str]] = set()  # nodes and tables whose rows had times in the far future
        self._trouble = ""  # why the last round was not stored
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Recover interrupted inserts, then accept batches. The tables must be open."""
        await self._inserts.recover()
        self._worker = asyncio.create_task(self._work(), name="ingest")

    async def stop(self) -> None:
        """Store the waiting batches, then stop. `accept` raises `Unavailable` from now on."""
        self._ending = True
        self._news.set()
        self._enough.set()
        if self._worker is not None:
            await self._worker

    async def accept(self, batch: IncomingBatch) -> None:
        """Return when the batch is stored, or refused permanently and counted as lost; both are on disk then.

        Raise `Unavailable` (or `StorageFull`) when it is not stored and should be offered again after `retry_after_s`.
        A repeat is harmless at any time. Raise `BadFrame` when the batch has no valid id.
        """
        key = batch.key
        if not batch.epoch or len(batch.epoch) > _EPOCH_LIMIT or not 0 <= batch.seq < _SEQ_LIMIT:
            raise BadFrame(f"Expected an epoch of 1 to {_EPOCH_LIMIT} characters and a number from 0 on, found {key}.")
        table = await self._tables.version(batch.fingerprint) if batch.rows > 0 else None
        item = Item(batch, table, asyncio.get_running_loop().create_future())
        await self._inserts.recall(item.rows_id)
        # no other task runs from here to `_put`: a batch that is neither stored nor waiting now is put exactly once
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
            done.exception()  # marks it as retrieved: every caller may have been cancelled

    async def _work(self) -> None:
        while not (self._ending and not self._waiting):
            await self._news.wait()
            await within(self._interval_s, self._enough.wait())
            items = self._take()
            try:
                with own_cancellation():
                    await self._store(items)
                self._say("")
            except Unavailable as error:
                self._say(str(error))
                _fail(items, error)
            except Exception:
                log.exception("a round of %d batches could not be stored", len(items))
                _fail(items, Unavailable("The batch could not be stored; the server's log says why."))

    def _say(self, trouble: str) -> None:
        """Log once why nothing can be stored, and once when it can again, however often batches are repeated."""
        if trouble and trouble != self._trouble:
            log.warning("telemetry cannot be stored now, its senders keep it: %s", trouble)
        elif self._trouble and not trouble:
            log.info("telemetry is stored again")
        self._trouble = trouble

    def _say_ahead(self, items: list[Item]) -> None:
        """Log the source of rows with times in the far future, once for each node and table."""
        for item in items:
            node, table = NodeKey(item.batch.origin.gid, item.batch.origin.nid), item.batch.table
            if (node, table) not in self._ahead and len(self._ahead) < _AHEAD_LIMIT:
                self._ahead.add((node, table))
                log.warning(
                    "node %s sent rows of table %s that are more than a day ahead: they get the time of their arrival; "
                    "check the node's clock",
                    node,
                    table,
                )

    def _take(self) -> list[Item]:
        """Return the batches of the next round: the oldest, as many as make a large insert."""
        taken: list[Item] = []
        rows = size = 0
        while self._waiting and rows < self._rows:
            size += self._waiting[0].batch.content.size_bytes(self._limit_bytes)
            if taken and size > self._limit_bytes:
                break
            taken.append(self._waiting.popleft())
            rows += max(0, taken[-1].batch.rows)
        self._waiting_rows -= rows
        if not self._waiting and not self._ending:
            self._news.clear()
        if self._waiting_rows < self._rows and not self._ending:
            self._enough.clear()
        return taken

    async def _store(self, items: list[Item]) -> None:
        """Store the batches; raise `Unavailable` to retry later. An error of one batch rejects only that batch."""
        try:
            await self._store_together(items)
        except Unavailable:
            raise
        except Exception as error:
            left = [item for item in items if item.open]
            if not left:
                raise
            if len(left) == 1:
                await self._give_up(left[0], error)
                return
            middle = len(left) // 2
            for half in (left[:middle], left[middle:]):
                await self._store(half)

    async def _store_together(self, items: list[Item]) -> None:
        await self._inserts.settle()
        await self._pass_over_stored(items)
        retention_s = {item.table.name: self._tables.retention_s(item.table.name) for item in items if item.table}
        found: Round = await asyncio.to_thread(
            sort_out,
            items,
            retention_s=retention_s,
            now_ns=self._clock_ns(),
            limit_bytes=self._limit_bytes,
            tag=self._tag,
        )
        self._say_ahead(found.ahead)
        if found.losses is not None:
            await self._insert(found.losses)
        trouble: Unavailable | None = None
        for pile in found.tables:
            try:
                await self._insert(pile)
            except Unavailable as error:
                await self._inserts.settle()  # raises if the store is unavailable, and not only this table
                trouble = error
        if trouble is not None:
            raise trouble

    async def _pass_over_stored(self, items: list[Item]) -> None:
        """Remove batches that were offered again and turned out to be stored in the meantime."""
        for item in items:
            await self._inserts.recall(item.rows_id)
            _settle(item, {part for part in item.open if self._inserts.has(part)})

    async def _give_up(self, item: Item, error: Exception) -> None:
        """Count a batch that can never be stored as a loss; one with another error is to be offered again."""
        if not isinstance(error, BadInput):
            log.warning("%s cannot be stored now, its sender keeps it: %s", item.batch, error, exc_info=error)
            _fail([item], Unavailable(f"The batch cannot be stored now: {error!r:.500}."))
            return
        log.warning("%s can never be stored, its %d rows are lost: %s", item.batch, item.batch.rows, error)
        pile = losses_pile([refused_alone(item, str(error))], now_ns=self._clock_ns())
        if pile is not None:
            await self._insert(pile)

    async def _insert(self, pile: Pile) -> None:
        floors: dict[tuple[str, str], int] = {}
        for item in pile.items:
            key = (item.batch.origin.id, item.batch.epoch)
            floors[key] = max(item.floor, floors.get(key, 0))
        group = await self._inserts.insert(
            pile.table, pile.rows, gids=pile.gids, nids=pile.nids, batches=pile.ids, floors=floors
        )
        settled = set(pile.ids)
        for item in pile.items:
            _settle(item, settled)
        self._signals.send(INSERTS, [StoredInsert(pile.table.name, group)])


def _settle(item: Item, stored: set[BatchId]) -> None:
    """Mark these parts as stored, and complete the batches that have no other part open."""
    item.losses_stored |= item.losses_id in stored
    item.open -= stored
    if not item.open and not item.done.done():
        item.done.set_result(None)


def _fail(items: list[Item], error: Unavailable) -> None:
    """Raise `error` to the callers of the batches that are not stored, so that they are offered again."""
    for item in items:
        if not item.done.done():
            item.done.set_exception(error)
