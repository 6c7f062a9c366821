"""The values of a column: one number each, or offsets and items for values that differ in length.

This module owns their form in memory and the operations that need no table: cut, join, measure. It returns views where
possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: one number a row; for IPv6 addresses 16 bytes a row, shape (rows, 16)
Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Varying:
    """Values that differ in length: value i is `items[offsets[i]:offsets[i + 1]]`.

    The items of strings and binaries are bytes (uint8); those of lists are the concatenated values, numbers or Varying;
    those of maps are Pairs.
    """

    offsets: NDArray[np.int32]  #: shape (rows + 1,); the first may differ from 0
    items: Values

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Pairs:
    """The concatenated entries of maps: key i belongs to value i."""

    keys: Values
    values: Values

    def __len__(self) -> int:
        return len(self.keys)


Values = Numbers | Varying | Pairs

NO_BYTES: NDArray[np.uint8] = np.zeros(0, np.uint8)


def cut(values: Values, start: int, stop: int) -> Values:
    """Return the rows `start` to `stop` as a view."""
    if isinstance(values, Varying):
        return Varying(values.offsets[start : stop + 1], values.items)
    if isinstance(values, Pairs):
        return Pairs(cut(values.keys, start, stop), cut(values.values, start, stop))
    return values[start:stop]


def join(parts: Sequence[Values]) -> Values:
    """Return the concatenation of one or more columns of the same form."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Varying):
        return _join_varying([part for part in parts if isinstance(part, Varying)])
    if isinstance(parts[0], Pairs):
        pairs = [part for part in parts if isinstance(part, Pairs)]
        return Pairs(join([part.keys for part in pairs]), join([part.values for part in pairs]))
    return np.concatenate([part for part in parts if isinstance(part, np.ndarray)])


def _join_varying(parts: Sequence[Varying]) -> Varying:
    offsets = np.empty(sum(len(part) for part in parts) + 1, np.int32)
    offsets[0] = row = end = 0
    for part in parts:
        first, last = int(part.offsets[0]), int(part.offsets[-1])
        np.add(part.offsets[1:], end - first, out=offsets[row + 1 : row + 1 + len(part)])
        row += len(part)
        end += last - first
    return Varying(offsets, join([cut(part.items, int(part.offsets[0]), int(part.offsets[-1])) for part in parts]))


def take(values: Values, rows: NDArray[np.integer[Any]]) -> Values:
    """Return these rows in this order; a row may be taken more than once."""
    if isinstance(values, np.ndarray):
        return values[rows]
    if isinstance(values, Pairs):
        return Pairs(take(values.keys, rows), take(values.values, rows))
    starts, lengths = values.offsets[rows].astype(np.int64), np.diff(values.offsets)[rows]
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat((starts - offsets[:-1]).astype(np.int32), lengths)  # one for each byte, so use a small type
    places += np.arange(len(places), dtype=np.int32)
    return Varying(offsets, take(values.items, places))


def size_bytes(values: Values) -> int:
    """Return the bytes that these rows take in memory, as exactly as the limits of batches need."""
    if isinstance(values, np.ndarray):
        return values.nbytes
    if isinstance(values, Pairs):
        return size_bytes(values.keys) + size_bytes(values.values)
    items = cut(values.items, int(values.offsets[0]), int(values.offsets[-1]))
    return values.offsets.nbytes + size_bytes(items)


def repeat(text: bytes, rows: int) -> Varying:
    """Return a column with the same string in every row."""
    items = np.frombuffer(text * rows, np.uint8)
    return Varying(np.arange(rows + 1, dtype=np.int32) * np.int32(len(text)), items)


def strings(texts: Sequence[str]) -> Varying:
    """Return a string column of a few Python strings, such as names and symbols. It is not for telemetry rows."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return Varying(offsets, np.frombuffer(b"".join(encoded), np.uint8))


def lists(rows: Sequence[Sequence[str]]) -> Varying:
    """Return a list-of-strings column of a few Python lists."""
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Varying(offsets, strings([text for row in rows for text in row]))
