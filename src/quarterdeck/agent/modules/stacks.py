"""Turns stack ids and addresses into columns of named frames, innermost first.

Owns the lookup of each distinct stack, once per reading, and the cleaning of stack maps: a map that is never emptied
fills up and loses every new stack, so once half of its entries have been read, those are deleted. Names come from the
Symbolizer. Used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.columns.values import Values, Varying, strings, take

Addresses = NDArray[np.uint64]
_KERNEL = -1  # in place of a process id


class StackMap:
    """One stack-trace map of a program."""

    def __init__(self, kernel_map: KernelMap) -> None:
        self._map = kernel_map
        self._seen: set[int] = set()
        self._last: dict[int, Addresses] = {}  # stacks deleted after the last reading, which rows may still name

    def addresses(self, ids: NDArray[np.int64]) -> Addresses:
        """Return the addresses of these distinct stacks, (n, depth), zeros after the last; zeros for an id below 0."""
        found = np.zeros((len(ids), self._map.value_size // 8), np.uint64)
        real = np.flatnonzero(ids >= 0)
        known: list[int] = ids[real].tolist()
        found[real] = self._map.stacks(known)
        for row in real[found[real, 0] == 0].tolist() if self._last else ():
            found[row] = self._last.get(int(ids[row]), found[row])
        self._tidy(known, found[real])
        return found

    def _tidy(self, ids: list[int], addresses: Addresses) -> None:
        self._seen.update(ids)
        if len(self._seen) <= self._map.max_entries // 2:
            return
        self._map.delete(np.array(sorted(self._seen), np.uint32).view(np.uint8))
        self._last = dict(zip(ids, addresses, strict=True))
        self._seen.clear()


class Stacks:
    """The stack maps of one instance, and the names of their frames."""

    def __init__(self, symbolizer: Symbolizer, maps: Mapping[str, StackMap]) -> None:
        self._symbolizer = symbolizer
        self._maps = maps

    def of_ids(self, name: str, ids: NDArray[Any], pids: NDArray[Any] | None) -> Values:
        """Return a list of frames for each stack id of the map `name`; empty for an id below zero (no stack)."""
        ids = ids.astype(np.int64)
        owners = _owners(pids, len(ids))
        pairs, inverse = np.unique(ids << 32 | (owners & 0xFFFFFFFF), return_inverse=True)
        stacks, places = np.unique(pairs >> 32, return_inverse=True)
        owner_of_pair = np.zeros(len(pairs), np.int64)
        owner_of_pair[inverse] = owners
        addresses = self._maps[name].addresses(stacks)[places]
        return take(self._named(addresses, owner_of_pair), inverse)

    def of_addresses(self, addresses: Addresses, pids: NDArray[Any] | None) -> Values:
        """Return a list of frames for each row of `addresses`, (n, depth), up to its first zero."""
        return self._named(addresses, _owners(pids, len(addresses)))

    def _named(self, addresses: Addresses, owners: NDArray[np.int64]) -> Varying:
        """Return names for (n, depth) addresses, those of row i in the memory of process `owners[i]`."""
        used = np.logical_and.accumulate(addresses != 0, axis=1)
        # All but the innermost are return addresses, which may be in the next function: the call is just before.
        addresses = addresses.copy()
        addresses[:, 1:] -= used[:, 1:]
        offsets = np.zeros(len(addresses) + 1, np.int32)
        np.cumsum(used.sum(axis=1), out=offsets[1:])
        flat, owner_of = addresses[used], np.repeat(owners, np.diff(offsets))
        names: list[str] = []  # of each address of each owner once
        places = np.zeros(len(flat), np.intp)
        distinct_owners, owner_index = np.unique(owner_of, return_inverse=True)
        for index, owner in enumerate(distinct_owners.tolist()):
            where = np.flatnonzero(owner_index == index)
            distinct, inverse = np.unique(flat[where], return_inverse=True)
            places[where] = inverse + len(names)
            names += self._symbolizer.kernel(distinct) if owner == _KERNEL else self._symbolizer.user(owner, distinct)
        return Varying(offsets, take(strings(names), places))


def _owners(pids: NDArray[Any] | None, rows: int) -> NDArray[np.int64]:
    return np.full(rows, _KERNEL, np.int64) if pids is None else pids.astype(np.int64)
