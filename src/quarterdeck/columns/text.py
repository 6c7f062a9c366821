"""Repair of strings to valid UTF-8, a whole column at a time.

A path, an argument or a command name in the kernel may hold any bytes; Arrow strings must be UTF-8, and a reader may
refuse a batch because of one invalid byte. A valid column is returned unchanged. In any other column only the invalid
rows change: each ill-formed sequence of bytes becomes U+FFFD. No row is ever dropped.
"""

from __future__ import annotations

import codecs

import numpy as np
from numpy.typing import NDArray

from quarterdeck.columns.values import Varying

_SEPARATOR = 0x0A  # any ASCII byte is suitable: the repair neither adds nor removes one


def valid_utf8(values: Varying) -> Varying:
    """Return the string column `values` with every row valid UTF-8; the same object if it is valid already."""
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
    """Return whether the bytes are valid UTF-8 as one text."""
    try:
        codecs.utf_8_decode(used.data, "strict", True)
    except UnicodeDecodeError:
        return False
    return True


def _split(items: NDArray[np.uint8], offsets: NDArray[np.int32]) -> bool:
    """Return whether a row begins within a character, the only possible fault in bytes that are valid as a whole."""
    starts = offsets[:-1][np.diff(offsets) > 0]
    return bool(((items[starts] & 0xC0) == 0x80).any())


def _repaired(used: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Varying:
    """Return the column repaired. A separator is put after each row, the whole is repaired as one text, and the
    separators are counted to find the rows again.

    A row may contain separators of its own; the repair does not change their number.
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
