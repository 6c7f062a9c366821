"""Entries of a map from one reading: as they are, or as what changed since the previous reading.

Owns the folding of per-CPU values and the lookup of known entries, both vectorised; `counters` subtracts the counters.
Lookup-and-delete loses what a program adds while it holds a value, so counters in hot maps are read and subtracted, and
only `drain` removes entries. It never calls the kernel: keys and values come in as bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.agent.modules.counters import Counters, numbers, numbers_of
from quarterdeck.bpf.records import Bytes
from quarterdeck.model.modules import TableSource


@dataclass(frozen=True, slots=True)
class Entries:
    """n entries: keys (n, key_size), values (n, value_size), and the CPU of each where every CPU has a row."""

    keys: Bytes
    values: Bytes
    cpus: NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, kept: NDArray[Any]) -> Entries:
        """Return the entries at these places, or where the mask is true."""
        return Entries(self.keys[kept], self.values[kept], None if self.cpus is None else self.cpus[kept])

    def packed(self) -> Bytes:
        """Return key and value joined, (n, key_size + value_size): the record that field offsets refer to."""
        return np.concatenate((self.keys, self.values), axis=1)


def fold_cpus(
    keys: Bytes, values: NDArray[np.uint8], source: TableSource, gauges: Collection[str] = frozenset()
) -> Entries:
    """Return one value per entry from (n, CPUs, value_size), or one row per CPU, as the source specifies.

    Numbers are summed (the counters, or all numbers where none is declared as one), or the largest is taken (also for
    `gauges`, which were declared as counters wrongly); other values come from the first CPU that has a nonzero one.
    """
    n, cpus, size = values.shape
    if source.per_cpu == "each" or source.transform:
        cpu_of = np.tile(np.arange(cpus, dtype=np.uint32), n)
        return Entries(np.repeat(keys, cpus, axis=0), values.reshape(n * cpus, size), cpu_of)
    used = values.any(axis=2)
    folded = values[np.arange(n), used.argmax(axis=1)]
    fields = numbers_of(source)
    marked = any(field.additive for field in fields)
    for field in fields:
        every = numbers(values, field, source.key_size)
        counts = (field.additive or not marked) and field.column not in gauges
        add = source.per_cpu == "sum" and counts
        numbers(folded, field, source.key_size)[...] = every.sum(axis=1) if add else every.max(axis=1)
    return Entries(keys, folded)


class Deltas:
    """Remembers the entries of the last reading and returns what changed since."""

    def __init__(
        self, source: TableSource, *, lasting: bool = False, notice: Callable[[str], None] = lambda _: None
    ) -> None:
        """`lasting`: entries are never deleted and recreated; `notice` is called for columns that are not counters."""
        self._counters = Counters(source, lasting=lasting, notice=notice)
        self._index: KeyIndex | None = None
        self._values: Bytes | None = None

    @property
    def gauges(self) -> frozenset[str]:
        """Return the columns that were declared as counters and turned out to be gauges."""
        return self._counters.gauges

    def take(self, entries: Entries) -> Entries:
        """Return the entries whose value changed, their counters as differences; a new entry with its full values.

        An entry that was missing at the last reading counts as new.
        """
        keys = _identity(entries)
        before = self._before(keys, entries.values)
        changed = (entries.values != before).any(axis=1)
        after = entries.values
        differences = entries.values[changed]
        if len(self._counters) and len(differences):
            kept = self._counters.subtract(differences, before[changed])
            if kept is not None:
                after = after.copy()
                after[changed] = kept
        self._index, self._values = KeyIndex(keys), after
        chosen = entries.only(changed)
        return Entries(chosen.keys, differences, chosen.cpus)

    def _before(self, keys: Bytes, values: Bytes) -> Bytes:
        """Return the values of the last reading in the order of `keys`; zeros for new keys."""
        if self._index is None or self._values is None:
            return np.zeros_like(values)
        if self._index.same(keys):
            return self._values
        places = self._index.find(keys)
        before = self._values[places] if len(self._values) else np.zeros_like(values)
        before[places < 0] = 0
        return before


class KeyIndex:
    """Finds keys in a fixed set of keys of the same size: 100,000 in a few milliseconds."""

    def __init__(self, keys: Bytes) -> None:
        self._keys = keys
        self._hashes = _hashes(keys)
        self._order: NDArray[np.intp] | None = None

    def same(self, keys: Bytes) -> bool:
        """Return whether these are exactly the keys of the index, in the same order: the usual case of a quiet map."""
        return keys.shape == self._keys.shape and bool((keys == self._keys).all())

    def find(self, keys: Bytes) -> NDArray[np.intp]:
        """Return the place of each key; -1 for a missing one."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.intp)
        if self._order is None:
            self._order = np.argsort(self._hashes, kind="stable")
            self._sorted = self._hashes[self._order]
        wanted = _hashes(keys)
        slots = np.minimum(np.searchsorted(self._sorted, wanted), len(self._order) - 1)
        places = self._order[slots]
        hit = self._sorted[slots] == wanted
        wrong = hit & (self._keys[places] != keys).any(axis=1)
        places = np.where(hit & ~wrong, places, -1)
        for row in np.flatnonzero(wrong):  # two keys with one 64-bit hash: practically never
            exact = np.flatnonzero((self._keys == keys[row]).all(axis=1))
            places[row] = exact[0] if len(exact) else -1
        return places


def chunks(total: int, size: int) -> Iterator[tuple[int, int]]:
    """Return (start, stop) of pieces of at most `size`."""
    for start in range(0, total, size):
        yield start, min(start + size, total)


def _hashes(keys: Bytes) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each key; keys of up to 8 bytes are their own hash."""
    n, size = keys.shape
    padded = np.zeros((n, max(1, -(-size // 8)) * 8), np.uint8)
    padded[:, :size] = keys
    words = padded.view(np.uint64)
    result = words[:, 0].copy()
    for column in range(1, words.shape[1]):
        result ^= result >> np.uint64(32)
        result *= np.uint64(0x9E3779B97F4A7C15)
        result ^= words[:, column]
    return result


def _identity(entries: Entries) -> Bytes:
    """Return what identifies entries: the key, and the CPU where each CPU has its own row."""
    if entries.cpus is None:
        return entries.keys
    return np.concatenate((entries.keys, entries.cpus[:, None].view(np.uint8)), axis=1)
