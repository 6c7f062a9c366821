"""The names of 64-bit enums: a column of numbers becomes a column of strings, all rows at once.

It owns the names of one column, in order of their numbers. A number without a name is written in decimal. Enums of at
most 32 bits never come here: they travel as numbers and are named in the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.columns.values import Varying, join, strings, take

_DECIMAL_BYTES = 20  # of the longest number, -9223372036854775808
_MASK = (1 << 64) - 1


class EnumNames:
    """Finds the names of numbers; `values` has the name of each number, which is written in decimal."""

    def __init__(self, values: Mapping[str, str]) -> None:
        by_bits = sorted((int(number) & _MASK, name) for number, name in values.items())
        self._bits = np.array([bits for bits, _ in by_bits], np.uint64)
        self._names = strings([name for _, name in by_bits])

    def of(self, numbers: NDArray[np.integer[Any]]) -> Varying:
        """Return the name of each number, or the number in decimal."""
        bits = numbers.astype(np.uint64)  # of negative numbers the two's complement
        places = np.minimum(np.searchsorted(self._bits, bits), len(self._bits) - 1)
        unnamed = self._bits[places] != bits
        names = self._names
        if unnamed.any():
            strange, which = np.unique(numbers[unnamed], return_inverse=True)
            places[unnamed] = len(self._bits) + which
            names = _joined(names, _decimals(strange))
        found = take(names, places)
        assert isinstance(found, Varying)
        return found


def _joined(names: Varying, more: Varying) -> Varying:
    joined = join([names, more])
    assert isinstance(joined, Varying)
    return joined


def _decimals(numbers: NDArray[np.integer[Any]]) -> Varying:
    padded = numbers.astype(f"S{_DECIMAL_BYTES}").view(np.uint8).reshape(len(numbers), _DECIMAL_BYTES)
    digits = padded != 0
    offsets = np.zeros(len(numbers) + 1, np.int32)
    np.cumsum(digits.sum(axis=1), out=offsets[1:])
    return Varying(offsets, padded[digits])
