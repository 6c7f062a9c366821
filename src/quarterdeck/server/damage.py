"""Damage of the telemetry store: logged, reported by the server, and counted as lost once.

Owns the reports; `store.telemetry.damage` finds the damage. It never repairs or removes anything. Each part or table
has an id, by which ingest recognises at the next start that its rows were counted already.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

from quarterdeck.model.errors import Unavailable
from quarterdeck.model.ingest import Origin
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.server.ingest.batches import IncomingBatch
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.store.telemetry.damage import Damage

log = logging.getLogger(__name__)

_EPOCH = "damage"
_RETRY_S = 60.0
_RESTORE = "Nothing was removed: restore it from a backup, or remove it to end this warning."


def problems(found: Sequence[Damage]) -> tuple[str, ...]:
    """Return a sentence for users about each damage."""
    return tuple(
        f"Telemetry is damaged: {damage.what}; table '{damage.table or 'unknown'}', {damage.rows} rows"
        + (f", kept in {damage.path}. {_RESTORE}" if damage.path else ".")
        for damage in found
    )


async def count_damage(found: Sequence[Damage], ingest: Ingest, *, gid: int) -> None:
    """Count the damage in the table of losses, unless it was counted before. Retry until the store takes it."""
    for damage in found:
        loss = Loss(table=damage.table, reason=LossReason.DAMAGED, rows=damage.rows, detail=_detail(damage))
        origin = Origin("server", gid, 0)
        await _accepted(ingest, IncomingBatch(origin=origin, epoch=_EPOCH, seq=_number(damage), losses=(loss,)))


async def _accepted(ingest: Ingest, batch: IncomingBatch) -> None:
    while True:
        try:
            await ingest.accept(batch)
        except Unavailable as error:
            log.warning("the damage cannot be counted now: %s", error)
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _detail(damage: Damage) -> str:
    return f"{damage.what} {damage.path}".strip()


def _number(damage: Damage) -> int:
    """Return a number that is the same for the same damage at each start, whatever else is known about it."""
    digest = hashlib.sha256((damage.path or damage.table).encode()).digest()
    return int.from_bytes(digest[:7], "big")
