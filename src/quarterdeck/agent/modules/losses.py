"""Losses that programs compiled by Quarterdeck counted in the kernel: records and entries for which no space was left.

Owns the differences between two readings of the counters and their assignment to tables. The counters belong to the
program, not to a table: lost records go to its first stream, lost entries to the table of a map that is full, else to
the table of the first map. Records of a ring buffer from which no table is made are not counted as lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from quarterdeck.agent.modules.maps import MapReader
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.streams import StreamReader
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.losses import KERNEL_LOSS_SLOTS, LossReason

INTERVAL_S = 1.0
#: map types that evict nothing to make space
_FILLING = frozenset({MapType.HASH, MapType.PERCPU_HASH, MapType.LPM_TRIE})
#: a map counts as full a little before its last entry: a sixteenth may wait in the free lists of other CPUs
_SPARE_SHARE = 16


class KernelLosses:
    """Reads the counters of one instance and assigns the losses to its readers."""

    def __init__(
        self, kernel_map: KernelMap, readers: Sequence[Reader], maps: Mapping[str, KernelMap] = MappingProxyType({})
    ) -> None:
        """`maps`: the program's maps by name; those that can fill up are checked when entries were lost."""
        self._map = kernel_map
        self._every = readers
        self._filling = {name: each for name, each in maps.items() if each.type in _FILLING}
        self._readers = {reason: _charged(reason, readers) for reason in KERNEL_LOSS_SLOTS}
        self._before = np.zeros(kernel_map.max_entries, np.uint64)
        self.next_s = 0.0  #: monotonic; the time of the next check

    def check(self, now_s: float = 0.0) -> None:
        """Count what was lost since the last check."""
        self.next_s = now_s + INTERVAL_S
        keys, values = self._map.entries()
        totals = np.zeros_like(self._before)
        totals[keys.view(np.uint32)[:, 0]] = values.view(np.uint64).reshape(len(keys), -1).sum(axis=1)
        lost = totals - self._before
        self._before = totals
        for slot, reason in enumerate(KERNEL_LOSS_SLOTS[: len(lost)]):
            if not lost[slot]:
                continue
            full = self._full() if reason is LossReason.MAP_FULL else []
            charged = next((reader for name in full if (reader := self._reader_of(name))), self._readers[reason])
            if charged is not None:
                rooms = [f"'{name}' ({self._filling[name].max_entries:,} entries)" for name in full]
                detail = f"no room in map {', '.join(rooms)}" if full else "counted by the program"
                charged.lose(reason, int(lost[slot]), detail)

    def _full(self) -> list[str]:
        """Return the maps that had no space left at their last reading, or have none now."""
        full: list[str] = []
        for name, each in self._filling.items():
            reader = self._reader_of(name)
            count = max(reader.entries if reader is not None else 0, len(each.entries().keys))
            if count >= each.max_entries - each.max_entries // _SPARE_SHARE:
                full.append(name)
        return full

    def _reader_of(self, name: str) -> MapReader | None:
        return next((each for each in self._every if isinstance(each, MapReader) and name in each.source.maps), None)


def _charged(reason: LossReason, readers: Sequence[Reader]) -> Reader | None:
    if reason is LossReason.RING_FULL:
        return next((reader for reader in readers if isinstance(reader, StreamReader)), None)
    return next((reader for reader in readers if not isinstance(reader, StreamReader)), readers[0])
