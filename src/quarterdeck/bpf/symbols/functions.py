"""Functions by address: the sorted columns to which every source of symbols is converted.

It owns the lookup. An address belongs to the nearest function below it if it is within that function's size; otherwise
it is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.strings import PackedStrings, StringTable

_PAGE_BYTES = np.uint64(4096)


@dataclass(frozen=True, slots=True)
class Functions:
    """Functions sorted by start: [start, end) addresses, and the offset of the name in `strings`."""

    starts: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    names: NDArray[np.uint32]
    strings: PackedStrings

    @classmethod
    def of(
        cls, starts: NDArray[np.uint64], sizes: NDArray[np.uint64], names: NDArray[np.uint32], strings: StringTable
    ) -> Self:
        """Sort functions. Of several at one address, the first is kept.

        A function of size 0 ends where the next begins, the last one after a page.
        """
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        first = np.ones(len(starts), dtype=np.bool_)
        first[1:] = starts[1:] != starts[:-1]
        order, starts = order[first], starts[first]
        following = np.append(starts[1:], starts[-1:] + _PAGE_BYTES)
        sizes = sizes[order]
        ends = np.where(sizes > 0, starts + sizes, following)
        return cls(starts, ends, names[order], strings.packed())

    @classmethod
    def none(cls) -> Self:
        """Return an empty set of functions: every address is unknown."""
        nothing = np.zeros(0, dtype=np.uint64)
        return cls(nothing, nothing, nothing.astype(np.uint32), PackedStrings(b""))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def nbytes(self) -> int:
        """Return the memory that they take."""
        return self.starts.nbytes + self.ends.nbytes + self.names.nbytes + self.strings.nbytes

    def find(self, addresses: NDArray[np.uint64]) -> list[str | None]:
        """Return the function's name for each address, None if there is none."""
        indexes = np.searchsorted(self.starts, addresses, side="right") - 1
        known = indexes >= 0
        known[known] = addresses[known] < self.ends[indexes[known]]
        hit, inverse = np.unique(indexes[known], return_inverse=True)
        names = np.array([self.strings.get(offset) for offset in self.names[hit].tolist()], dtype=object)
        found = np.full(len(addresses), None, dtype=object)
        found[known] = names[inverse]
        return found.tolist()
