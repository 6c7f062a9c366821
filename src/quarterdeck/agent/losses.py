"""Counts of rows that were lost on this agent, until they have left with a batch. Aggregated, so they stay few."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from quarterdeck.model.losses import Loss, LossReason

#: distinct losses that are kept; beyond it their details are dropped, never their counts
_DISTINCT = 512
#: characters of a detail that are kept
_DETAIL = 1000

_Key = tuple[str, LossReason, str, str]


class LossTally:
    """Losses summed by table, reason, module and detail."""

    def __init__(self, losses: Iterable[Loss] = ()) -> None:
        self._sums: dict[_Key, Loss] = {}
        for loss in losses:
            self.add(loss)

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, loss: Loss) -> None:
        """Count one loss; of equal ones the latest time is kept."""
        loss = msgspec.structs.replace(loss, detail=loss.detail[:_DETAIL] if len(self._sums) < _DISTINCT else "")
        key = (loss.table, loss.reason, loss.module, loss.detail)
        known = self._sums.get(key)
        if known is not None:
            loss = msgspec.structs.replace(known, rows=known.rows + loss.rows, time_ns=max(known.time_ns, loss.time_ns))
        self._sums[key] = loss

    def take(self) -> tuple[Loss, ...]:
        """Return all losses; the tally is empty afterwards."""
        taken, self._sums = tuple(self._sums.values()), {}
        return taken
