"""A round of ingest: the batches that came in while the last round was stored, sorted into inserts.

Owns how each batch is sorted: its rows go to the pile of their table's version, the losses that it reports to the pile
of losses, and rows that cannot be stored become a loss too. Each pile is tagged before it is inserted.
It works column-wise, in a thread, and never does I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quarterdeck.model.errors import BadFrame
from quarterdeck.model.ingest import BatchId
from quarterdeck.model.losses import LOSSES_TABLE, Loss, LossReason
from quarterdeck.model.tables import Table
from quarterdeck.server.ingest.batches import IncomingBatch
from quarterdeck.store.telemetry.batches import Rows
from quarterdeck.store.telemetry.rows import from_lists, joined, kept, times_ns, with_times

_MAX_ROWS = 2**63 - 1
_DETAIL_LIMIT = 500  # characters
#: rows with a time this far in the future get the time of their arrival; smaller errors come from a wrong clock, and
#: such rows keep the node's time
_FAR_AHEAD_NS = 24 * 3600 * 10**9
_CLOCK_SKEW_NS = 3600 * 10**9  # a loss noticed further in the future than this was noticed by a wrong clock


#: returns the rows of one table with tags as further columns, given the grid and the node of each row
Tag = Callable[[Table, Rows, NDArray[np.uint32], NDArray[np.uint32]], Rows]


def untagged(table: Table, rows: Rows, gids: NDArray[np.uint32], nids: NDArray[np.uint32]) -> Rows:  # noqa: ARG001 (a `Tag`)
    """Return the rows as they are."""
    return rows


@dataclass(slots=True, eq=False)
class Item:
    """A batch that is being stored. It is done when no part of it is open."""

    batch: IncomingBatch
    table: Table | None
    done: asyncio.Future[None]
    open: set[BatchId] = field(default_factory=set[BatchId])
    losses_stored: bool = False  #: in an earlier attempt

    @property
    def rows_id(self) -> BatchId:
        """Return the id of the batch's rows."""
        return BatchId(origin=self.batch.origin.id, epoch=self.batch.epoch, seq=2 * self.batch.seq)

    @property
    def losses_id(self) -> BatchId:
        """Return the id of the batch's losses, both reported and found by the server: they are stored separately."""
        return BatchId(origin=self.batch.origin.id, epoch=self.batch.epoch, seq=2 * self.batch.seq + 1)

    @property
    def floor(self) -> int:
        """Return the id below which the sender never repeats a part."""
        return 2 * min(self.batch.floor, self.batch.seq)

    def lose(self, reason: LossReason, rows: int, detail: str) -> Loss:
        """Return the loss of rows of this batch that are not stored."""
        module = self.table.module if self.table else self.batch.module
        return Loss(table=self.batch.table, reason=reason, rows=rows, module=module, detail=detail)


@dataclass(slots=True)
class Pile:
    """Rows that are inserted together, their nodes, and the ids of the parts that are stored with them."""

    table: Table
    items: list[Item]
    rows: Rows
    gids: NDArray[np.uint32]
    nids: NDArray[np.uint32]
    ids: list[BatchId]


@dataclass(slots=True)
class Lost:
    """Losses of one batch, and the ids of the parts that are settled when they are stored."""

    item: Item
    losses: list[Loss] = field(default_factory=list[Loss])
    ids: set[BatchId] = field(default_factory=set[BatchId])

    def add(self, losses: Iterable[Loss], *ids: BatchId) -> None:
        """Add losses; the batch stays open until they are stored."""
        self.losses += losses
        self.ids.update(ids)
        self.item.open.update(ids)


@dataclass(slots=True)
class Round:
    """The piles of one round. The losses are stored first, so that no row is ever missing from both."""

    losses: Pile | None
    tables: list[Pile]
    ahead: list[Item] = field(default_factory=list[Item])  #: batches with rows in the far future


def sort_out(
    items: Sequence[Item], *, retention_s: Mapping[str, int], now_ns: int, limit_bytes: int, tag: Tag = untagged
) -> Round:
    """Sort batches into piles, and tag the rows of each; refuse batches of more than `limit_bytes`."""
    lost: dict[int, Lost] = {}
    decoded: dict[str, list[tuple[Item, Rows]]] = {}
    ahead: list[Item] = []
    for item in items:
        if item.losses_id in item.open:
            _of(lost, item).add(item.batch.losses, item.losses_id)
        if item.rows_id not in item.open:
            continue
        try:
            rows, changed = _brought_back(_decoded(item, limit_bytes), now_ns=now_ns)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (the error can only come from this batch)
            refuse(_of(lost, item), str(error) if isinstance(error, BadFrame) else repr(error))
            continue
        if changed:
            ahead.append(item)
        decoded.setdefault(item.batch.fingerprint, []).append((item, rows))
    piles = [_pile(found, lost, retention_s=retention_s, now_ns=now_ns) for found in decoded.values()]
    piles = [pile for pile in piles if pile.ids]
    for pile in piles:
        pile.rows = tag(pile.table, pile.rows, pile.gids, pile.nids)
    return Round(losses=losses_pile(lost.values(), now_ns=now_ns), tables=piles, ahead=ahead)


def refuse(lost: Lost, why: str) -> None:
    """Count the rows of a batch as lost because they can never be stored; storing the loss settles them."""
    item = lost.item
    lost.add([item.lose(LossReason.REJECTED, item.batch.rows, why)], item.rows_id)


def refused_alone(item: Item, why: str) -> Lost:
    """Return the losses that are stored in place of a refused batch: those that it reports, and its own rows."""
    lost = Lost(item)
    if item.losses_id in item.open:
        lost.add(item.batch.losses, item.losses_id)
    if item.rows_id in item.open:
        refuse(lost, why)
    return lost


def losses_pile(lost: Iterable[Lost], *, now_ns: int) -> Pile | None:
    """Return the losses of some batches as rows, or None without losses."""
    entries = [entry for entry in lost if entry.losses]
    if not entries:
        return None
    losses = [loss for entry in entries for loss in entry.losses]
    counts = [len(entry.losses) for entry in entries]
    oldest_ns = now_ns - LOSSES_TABLE.retention_s * 10**9
    columns = {
        "time": [t if oldest_ns < t < now_ns + _CLOCK_SKEW_NS else now_ns for t in (loss.time_ns for loss in losses)],
        "module": [loss.module for loss in losses],
        "table": [loss.table for loss in losses],
        "reason": [loss.reason.value for loss in losses],
        "rows": [min(max(0, loss.rows), _MAX_ROWS) for loss in losses],
        "detail": [loss.detail[:_DETAIL_LIMIT] for loss in losses],
    }
    return Pile(
        table=LOSSES_TABLE,
        items=[entry.item for entry in entries],
        rows=from_lists(LOSSES_TABLE, columns),
        gids=np.repeat(np.array([entry.item.batch.origin.gid for entry in entries], np.uint32), counts),
        nids=np.repeat(np.array([entry.item.batch.origin.nid for entry in entries], np.uint32), counts),
        ids=[batch for entry in entries for batch in entry.ids],
    )


def _decoded(item: Item, limit_bytes: int) -> Rows:
    batch, table = item.batch, item.table
    if table is None or table.name != batch.table:
        raise BadFrame(f"Table '{batch.table}' has no version with the fingerprint '{batch.fingerprint}'.")
    rows = batch.content.columns(table, limit_bytes)
    if rows.num_rows != batch.rows:
        raise BadFrame(f"The batch states {batch.rows} rows but contains {rows.num_rows}.")
    return rows


def _brought_back(rows: Rows, *, now_ns: int) -> tuple[Rows, bool]:
    """Return the rows with the time of arrival in place of far-future times, and whether any was replaced.

    No retention would ever remove such rows, and every query for the newest rows would find them first.
    """
    times = times_ns(rows)
    far = times > now_ns + _FAR_AHEAD_NS
    if not far.any():
        return rows, False
    return with_times(rows, np.where(far, np.int64(now_ns), times)), True


def _pile(
    decoded: list[tuple[Item, Rows]], lost: dict[int, Lost], *, retention_s: Mapping[str, int], now_ns: int
) -> Pile:
    table = decoded[0][0].table
    assert table is not None
    pile = _gathered(table, decoded)
    if retention_s[table.name]:
        oldest_ns = now_ns - retention_s[table.name] * 10**9
        _leave_out_old(pile, [rows.num_rows for _, rows in decoded], lost, oldest_ns=oldest_ns)
    return pile


def _gathered(table: Table, decoded: Sequence[tuple[Item, Rows]]) -> Pile:
    counts = [rows.num_rows for _, rows in decoded]
    return Pile(
        table=table,
        items=[item for item, _ in decoded],
        rows=joined([rows for _, rows in decoded]),
        gids=np.repeat(np.array([item.batch.origin.gid for item, _ in decoded], np.uint32), counts),
        nids=np.repeat(np.array([item.batch.origin.nid for item, _ in decoded], np.uint32), counts),
        ids=[item.rows_id for item, _ in decoded],
    )


def _leave_out_old(pile: Pile, counts: list[int], lost: dict[int, Lost], *, oldest_ns: int) -> None:
    """Remove rows older than the retention and count them as lost: the store would drop them silently at a merge.

    A batch whose losses were stored before the server was interrupted is stored unchanged: the rows that the store
    will drop are those that were counted then.
    """
    young = times_ns(pile.rows) >= oldest_ns
    if young.all():
        return
    ends = np.cumsum(counts)
    for item, start, end in zip(pile.items, ends - counts, ends, strict=True):
        old = int(end - start) - int(np.count_nonzero(young[start:end]))
        if old and item.losses_stored:
            young[start:end] = True
        elif old:
            settled = (item.losses_id, item.rows_id) if old == end - start else (item.losses_id,)
            _of(lost, item).add([item.lose(LossReason.TOO_OLD, old, "older than the table's retention")], *settled)
            pile.ids = [batch for batch in pile.ids if batch not in settled]
    pile.rows, pile.gids, pile.nids = kept(pile.rows, young), pile.gids[young], pile.nids[young]


def _of(lost: dict[int, Lost], item: Item) -> Lost:
    return lost.setdefault(id(item), Lost(item))
