"""Strings made valid UTF-8, a whole column at a time.

The kernel hands over whatever bytes a path, an argument or a command name holds; Arrow strings must be UTF-8, and a
reader may refuse the batch for one bad byte. A valid column is passed through as it is, after one look; in others only
the rows that offend change, each ill-formed sequence of bytes becoming U+FFFD. It never drops a row.
"""

from __future__ import annotations

import codecs

import numpy as np
from numpy.typing import NDArray

from quarterdeck.columns.values import Varying

_SEPARATOR = 0x0A  # any ASCII byte will do: the repair neither makes nor eats one


def valid_utf8(values: Varying) -> Varying:
    """`values` (a string column) with every row valid UTF-8; the same object when they are so already."""
    first, last = int(values.offsets[0]), int(values.offsets[-1])
    items = values.items
    if not isinstance(items, np.ndarray):
        raise TypeError(f"a string column holds bytes, found {type(items).__name__}")
    used = items[first:last]
    if used.size == 0 or int(used.max()) < 0x80:
        return values
    if _whole(used) and not _split(items, values.offsets):
        return values
    return _repaired(used, (values.offsets - first).astype(np.int64))


def _whole(used: NDArray[np.uint8]) -> bool:
    """Whether the bytes are valid as one text."""
    try:
        codecs.utf_8_decode(used.data, "strict", True)
    except UnicodeDecodeError:
        return False
    return True


def _split(items: NDArray[np.uint8], offsets: NDArray[np.int32]) -> bool:
    """Whether a row begins within a character: all that can be wrong with the rows of a valid whole."""
    starts = offsets[:-1][np.diff(offsets) > 0]
    return bool(((items[starts] & 0xC0) == 0x80).any())


def _repaired(used: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Varying:
    """Put a separator behind each row, repair the whole as one text, and find the rows again by counting separators.

    A row may hold separators of its own; there are as many of them after the repair as before.
    """
    rows = len(offsets) - 1
    marked = np.insert(used, offsets[1:], np.uint8(_SEPARATOR))
    inside = np.concatenate(([0], np.cumsum(used == _SEPARATOR)))[offsets[1:]]  # separators up to the end of each row
    text, _ = codecs.utf_8_decode(marked.data, "replace", True)
    repaired = np.frombuffer(text.encode(), np.uint8)
    ends = np.flatnonzero(repaired == _SEPARATOR)[inside + np.arange(rows)]
    result = np.zeros(rows + 1, np.int32)
    result[1:] = ends - np.arange(rows)
    return Varying(result, np.delete(repaired, ends))
