"""A round of ingest: the batches that came in while the last round was stored, sorted into inserts.

Owns what is done with each batch: its rows go to the pile of their table's version, what it says of losses to the
pile of losses, and what cannot be stored becomes a loss too. Column-wise, and without I/O: it runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.ingest import BatchId
from quarterdeck.model.losses import LOSSES_TABLE, Loss, LossReason
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.tables import Table
from quarterdeck.store.telemetry.rows import Rows, decode, decompressed_bytes, from_lists, joined, kept, times_ns

_MAX_ROWS = 2**63 - 1
_DETAIL_LIMIT = 500  # characters
_CLOCK_SKEW_NS = 3600 * 10**9  # a loss noticed further in the future than this was noticed by a wrong clock


@dataclass(slots=True, eq=False)
class Item:
    """A batch on its way in. It is done when nothing is open."""

    agent: AgentIdentity
    batch: TelemetryBatch
    table: Table | None
    done: asyncio.Future[None]
    open: set[BatchId] = field(default_factory=set[BatchId])
    losses_stored: bool = False  #: in an earlier attempt

    @property
    def size_bytes(self) -> int:
        """What it takes in memory: as it came, and decompressed."""
        return len(self.batch.body) + decompressed_bytes(self.batch.body)

    @property
    def rows_id(self) -> BatchId:
        """The rows of the batch."""
        return BatchId(agent_id=self.agent.agent_id, epoch=self.batch.epoch, seq=2 * self.batch.seq)

    @property
    def losses_id(self) -> BatchId:
        """What the batch says of losses, and what the server found wrong with it: stored apart from its rows."""
        return BatchId(agent_id=self.agent.agent_id, epoch=self.batch.epoch, seq=2 * self.batch.seq + 1)

    @property
    def floor(self) -> int:
        """Parts below it are never sent again."""
        return 2 * min(self.batch.floor, self.batch.seq)

    def lose(self, reason: LossReason, rows: int, detail: str) -> Loss:
        """Rows of this batch that are not stored, and why."""
        module = self.table.module if self.table else self.batch.module
        return Loss(table=self.batch.table, reason=reason, rows=rows, module=module, detail=detail)


@dataclass(slots=True)
class Pile:
    """Rows that are inserted together, whose they are, and what is stored when they are."""

    table: Table
    items: list[Item]
    rows: Rows
    gids: NDArray[np.uint32]
    nids: NDArray[np.uint32]
    ids: list[BatchId]


@dataclass(slots=True)
class Lost:
    """Losses of one batch, and what is settled when they are stored."""

    item: Item
    losses: list[Loss] = field(default_factory=list[Loss])
    ids: set[BatchId] = field(default_factory=set[BatchId])

    def add(self, losses: Iterable[Loss], *ids: BatchId) -> None:
        """More of them; the batch waits for them."""
        self.losses += losses
        self.ids.update(ids)
        self.item.open.update(ids)


@dataclass(slots=True)
class Round:
    """The piles of one round: the losses are to be stored first, so that a row is never missing from both."""

    losses: Pile | None
    tables: list[Pile]


def sort_out(items: Sequence[Item], *, retention_s: Mapping[str, int], now_ns: int) -> Round:
    """Sort batches into piles."""
    lost: dict[int, Lost] = {}
    decoded: dict[str, list[tuple[Item, Rows]]] = {}
    for item in items:
        if item.losses_id in item.open:
            _of(lost, item).add(item.batch.losses, item.losses_id)
        if item.rows_id not in item.open:
            continue
        try:
            rows = _decoded(item)
        except BadFrame as error:
            refuse(_of(lost, item), str(error))
            continue
        decoded.setdefault(item.batch.fingerprint, []).append((item, rows))
    piles = [_pile(found, lost, retention_s=retention_s, now_ns=now_ns) for found in decoded.values()]
    return Round(losses=losses_pile(lost.values(), now_ns=now_ns), tables=[pile for pile in piles if pile.ids])


def refuse(lost: Lost, why: str) -> None:
    """The rows of a batch will never be stored: they are a loss, and storing that settles them."""
    item = lost.item
    lost.add([item.lose(LossReason.REJECTED, item.batch.rows, why)], item.rows_id)


def losses_pile(lost: Iterable[Lost], *, now_ns: int) -> Pile | None:
    """The losses of some batches as rows; None when there are none."""
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
        gids=np.repeat(np.array([entry.item.agent.gid for entry in entries], np.uint32), counts),
        nids=np.repeat(np.array([entry.item.agent.nid for entry in entries], np.uint32), counts),
        ids=[batch for entry in entries for batch in entry.ids],
    )


def one_by_one(pile: Pile) -> list[Pile]:
    """A pile as piles of one batch each, to find the one that the store does not take."""
    return [_gathered(pile.table, [(item, decode(pile.table, item.batch.body))]) for item in pile.items]


def _decoded(item: Item) -> Rows:
    batch, table = item.batch, item.table
    if table is None or table.name != batch.table:
        raise BadFrame(f"Table '{batch.table}' has no version with the fingerprint '{batch.fingerprint}'.")
    rows = decode(table, batch.body)
    if rows.num_rows != batch.rows:
        raise BadFrame(f"The batch says it has {batch.rows} rows and has {rows.num_rows}.")
    return rows


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
        gids=np.repeat(np.array([item.agent.gid for item, _ in decoded], np.uint32), counts),
        nids=np.repeat(np.array([item.agent.nid for item, _ in decoded], np.uint32), counts),
        ids=[item.rows_id for item, _ in decoded],
    )


def _leave_out_old(pile: Pile, counts: list[int], lost: dict[int, Lost], *, oldest_ns: int) -> None:
    """Rows beyond the retention would vanish at the next merge without a word: they become losses instead.

    A batch whose losses were stored before (then the server was interrupted) is stored as it is: those of its rows
    that are counted already are just the ones that vanish.
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
