"""What a reading of a map gives: its entries as they are, or what changed since the reading before.

It owns the folding of per-CPU values and the subtraction of counters, both vectorised over all entries.
Lookup-and-delete loses what a program adds while it holds a value, so counters in hot maps are read and subtracted, and
only `drain` takes entries out. It never talks to the kernel: keys and values come in as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.records import Bytes
from quarterdeck.model.modules import Field, FieldKind, TableSource

#: A counter that shrank by less than half, and was larger than this, was overtaken by a racing update, not reset.
SMALL_COUNT = 1024

_NUMBERS = frozenset({FieldKind.SCALAR, FieldKind.ARRAY})


@dataclass(frozen=True, slots=True)
class Entries:
    """n entries: keys (n, key_size), values (n, value_size), and the CPU of each where every CPU has a row."""

    keys: Bytes
    values: Bytes
    cpus: NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, kept: NDArray[Any]) -> Entries:
        """The entries at these places, or where the mask is true."""
        return Entries(self.keys[kept], self.values[kept], None if self.cpus is None else self.cpus[kept])

    def packed(self) -> Bytes:
        """Key and value side by side, (n, key_size + value_size): the record that the fields' offsets count from."""
        return np.concatenate((self.keys, self.values), axis=1)


def fold_cpus(keys: Bytes, values: NDArray[np.uint8], source: TableSource) -> Entries:
    """One value an entry out of (n, CPUs, value_size), or a row for each CPU, as the source has it.

    Numbers are summed (counters; all of them where none is marked as one) or the largest is taken; what is no number
    comes from the first CPU that has anything.
    """
    n, cpus, size = values.shape
    if source.per_cpu == "each" or source.transform:
        numbers = np.tile(np.arange(cpus, dtype=np.uint32), n)
        return Entries(np.repeat(keys, cpus, axis=0), values.reshape(n * cpus, size), numbers)
    used = values.any(axis=2)
    folded = values[np.arange(n), used.argmax(axis=1)]
    summed = [field.column for field in _numbers_of(source) if field.additive] or None
    for field in _numbers_of(source):
        every = _view(values, field, source.key_size)
        add = source.per_cpu == "sum" and (summed is None or field.column in summed)
        _view(folded, field, source.key_size)[...] = every.sum(axis=1) if add else every.max(axis=1)
    return Entries(keys, folded)


class Deltas:
    """Remembers the entries of the last reading and gives what changed since."""

    def __init__(self, source: TableSource) -> None:
        self._source = source
        self._counters = [field for field in _numbers_of(source) if field.additive]
        self._index: KeyIndex | None = None
        self._values: Bytes | None = None

    def take(self, entries: Entries) -> Entries:
        """The entries whose value changed, their counters as differences; of a new entry all that it has.

        A counter that went down was reset (or its entry was evicted and made anew): it counts from zero again.
        """
        keys = _identity(entries)
        before = self._before(keys, entries.values)
        changed = (entries.values != before).any(axis=1)
        after = entries.values
        differences = entries.values[changed]
        if self._counters and len(differences):
            kept = self._subtract(differences, before[changed])
            if kept is not None:
                after = after.copy()
                after[changed] = kept
        self._index, self._values = KeyIndex(keys), after
        chosen = entries.only(changed)
        return Entries(chosen.keys, differences, chosen.cpus)

    def _before(self, keys: Bytes, values: Bytes) -> Bytes:
        """The values of the last reading in the order of `keys`, zeros for those that are new."""
        if self._index is None or self._values is None:
            return np.zeros_like(values)
        if self._index.same(keys):
            return self._values
        places = self._index.find(keys)
        before = self._values[places] if len(self._values) else np.zeros_like(values)
        before[places < 0] = 0
        return before

    def _subtract(self, now: Bytes, before: Bytes) -> Bytes | None:
        """Turn the counters of `now` into differences; returns the values to remember where they are not `now`'s."""
        key_size = self._source.key_size
        reset = np.zeros(len(now), np.bool_)
        back = np.zeros(len(now), np.bool_)
        for field in self._counters:
            new, old = _view(now, field, key_size), _view(before, field, key_size)
            fell = new < old
            if fell.any():
                back |= fell.any(axis=1)
                reset |= (fell & ((old < SMALL_COUNT) | (new < old - old // 2))).any(axis=1)
        if reset.any():
            before[reset] = 0
        kept = now.copy() if (back & ~reset).any() else None
        for field in self._counters:
            new, old = _view(now, field, key_size), _view(before, field, key_size)
            if kept is not None:
                higher = np.maximum(new, old)
                _view(kept, field, key_size)[...] = higher
                new[...] = higher - old
            else:
                new -= old
        return kept


class KeyIndex:
    """Finds keys of the same size among those it was made of: 100,000 in a few milliseconds."""

    def __init__(self, keys: Bytes) -> None:
        self._keys = keys
        self._hashes = _hashes(keys)
        self._order: NDArray[np.intp] | None = None

    def same(self, keys: Bytes) -> bool:
        """Whether these are the very keys, in the same order: the usual case of a quiet map."""
        return keys.shape == self._keys.shape and bool((keys == self._keys).all())

    def find(self, keys: Bytes) -> NDArray[np.intp]:
        """The place of each key, -1 where it is not there."""
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
        for row in np.flatnonzero(wrong):  # two keys of one 64-bit hash: once in many lifetimes
            exact = np.flatnonzero((self._keys == keys[row]).all(axis=1))
            places[row] = exact[0] if len(exact) else -1
        return places


def chunks(total: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of pieces of at most `size`."""
    for start in range(0, total, size):
        yield start, min(start + size, total)


def _hashes(keys: Bytes) -> NDArray[np.uint64]:
    """A 64-bit hash of each key; keys of up to 8 bytes are their own."""
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
    """What tells entries apart: the key, and the CPU where each has its own."""
    if entries.cpus is None:
        return entries.keys
    return np.concatenate((entries.keys, entries.cpus[:, None].view(np.uint8)), axis=1)


def _numbers_of(source: TableSource) -> Sequence[Field]:
    """The numeric fields of the value."""
    return [field for field in source.fields if field.kind in _NUMBERS and field.offset >= source.key_size]


def _view(values: NDArray[np.uint8], field: Field, key_size: int) -> NDArray[Any]:
    """The field's numbers within the last axis of `values`, (…, count)."""
    start = field.offset - key_size
    kind = "f" if field.floating else "i" if field.signed else "u"
    dtype = np.dtype(f"{'>' if field.big_endian else '='}{kind}{field.size}")
    return values[..., start : start + field.size * field.count].view(dtype)
