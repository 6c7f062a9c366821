"""The records in a span of memory, found all at once: where each payload starts and how long it is.

Ring buffers and perf buffers both contain a chain of records with their lengths in their headers. This module turns a
chain into arrays without a Python step for each record: by one comparison of all headers for records of equal length
(the usual case), else by doubling jumps. It owns no memory: all results are views of the given span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

_CHUNK_SLOTS = 1 << 13  # 64 KiB: jump tables that stay in the CPU's cache


@dataclass(frozen=True, slots=True)
class Records:
    """The payloads of a span, in order. They are views: valid until their buffer is advanced or closed."""

    #: the span that contains them
    data: Bytes
    #: start of each payload in `data`
    offsets: Offsets
    #: bytes of each payload
    sizes: Offsets
    #: bytes that these records take in the buffer, to pass to advance()
    nbytes: int
    #: distance between payloads if it is the same for all and all have one length; 0: unknown
    stride: int = 0

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, itemsize: int) -> Bytes:
        """Return the payloads as an (n, itemsize) array: longer ones truncated, shorter ones padded with zeros.

        The array is a view if the records are equally spaced and long enough, else a copy.
        `rows(dtype.itemsize).view(dtype)[:, 0]` gives an array of a structured dtype.
        """
        n = len(self.offsets)
        if n == 0:
            return np.empty((0, itemsize), np.uint8)
        shortest = int(self.sizes.min()) if self.sizes.strides[0] else int(self.sizes[0])
        if shortest >= itemsize and (stride := self.stride or _spacing(self.offsets)):
            first = self.data[int(self.offsets[0]) :]
            return as_strided(first, (n, itemsize), (stride, 1), writeable=False)
        return self._gathered(itemsize)

    def _gathered(self, itemsize: int) -> Bytes:
        """Return a copy, with one block of memory for each record."""
        starts = max(len(self.data) - itemsize + 1, 0)
        blocks = np.ndarray((starts,), f"V{itemsize}", self.data, strides=(1,))  # one at every byte, overlapping
        fits = self.offsets < starts
        out = np.zeros((len(self.offsets), itemsize), np.uint8)
        out.view(f"V{itemsize}")[fits, 0] = blocks[self.offsets[fits]]
        for index in np.flatnonzero(~fits):  # at most the last few records of the span
            start, size = int(self.offsets[index]), int(self.sizes[index])
            out[index, :size] = self.data[start : start + size]
        short = self.sizes < itemsize
        if short.any():
            out[short] *= np.arange(itemsize) < self.sizes[short, None]
        return out


def _spacing(offsets: Offsets) -> int:
    """Return the distance between neighbours if it is the same everywhere (any for one record), else 0."""
    if len(offsets) == 1:
        return 1
    stride = int(offsets[1] - offsets[0])
    return stride if bool((np.diff(offsets) == stride).all()) else 0


def chain(lengths: NDArray[np.int64]) -> Offsets:
    """Return the slots of a chain of records: `lengths[i]` is the number of slots of a record that starts at slot `i`.

    The slots ascend from 0. A length below one ends the chain. The chain is found by doubling: all records within 2^k
    steps, then 2^(k+1), so that a few array operations suffice.
    """
    found: list[Offsets] = []
    start = 0
    while start < len(lengths):
        part = lengths[start : start + _CHUNK_SLOTS]
        reached, start_after = _chain_within(part)
        found.append(reached + start)
        if start_after <= 0:
            break
        start += start_after
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _chain_within(lengths: NDArray[np.int64]) -> tuple[Offsets, int]:
    """Return the records that start inside `lengths`, and the slot after the last of them (0 when the chain ends)."""
    n = len(lengths)
    jump = np.arange(n + 1, dtype=np.int64)
    jump[:n] += np.where(lengths > 0, lengths, n + 1)
    np.minimum(jump, n, out=jump)
    reached = np.zeros(1, np.int64)
    while True:
        further = jump[reached]
        further = further[further < n]
        if not len(further):
            break
        reached = np.concatenate((reached, further))
        jump = jump[jump]
    reached.sort()
    last = int(reached[-1])
    length = int(lengths[last])
    return (reached, last + length) if length > 0 else (reached[:-1], 0)
