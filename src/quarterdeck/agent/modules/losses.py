"""What programs compiled by us counted in the kernel: records and entries for which there was no room.

It owns the differences between two looks at the counters and which table they are charged to: the counters are the
program's, not a table's, so lost records go to its first stream and lost entries to its first map. Records of a ring
buffer that no table is made of are nobody's loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.streams import StreamReader
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.model.losses import KERNEL_LOSS_SLOTS, LossReason

INTERVAL_S = 1.0


class KernelLosses:
    """Looks at the counters of one instance and charges its readers."""

    def __init__(self, kernel_map: KernelMap, readers: Sequence[Reader]) -> None:
        self._map = kernel_map
        self._readers = {reason: _charged(reason, readers) for reason in KERNEL_LOSS_SLOTS}
        self._before = np.zeros(kernel_map.max_entries, np.uint64)
        self.next_s = 0.0  #: monotonic; when to look again

    def check(self, now_s: float = 0.0) -> None:
        """Count what was lost since the last look."""
        self.next_s = now_s + INTERVAL_S
        keys, values = self._map.entries()
        totals = np.zeros_like(self._before)
        totals[keys.view(np.uint32)[:, 0]] = values.view(np.uint64).reshape(len(keys), -1).sum(axis=1)
        lost = totals - self._before
        self._before = totals
        for slot, reason in enumerate(KERNEL_LOSS_SLOTS[: len(lost)]):
            charged = self._readers[reason]
            if charged is not None:
                charged.lose(reason, int(lost[slot]), "counted by the program")


def _charged(reason: LossReason, readers: Sequence[Reader]) -> Reader | None:
    if reason is LossReason.RING_FULL:
        return next((reader for reader in readers if isinstance(reader, StreamReader)), None)
    return next((reader for reader in readers if not isinstance(reader, StreamReader)), readers[0])
