"""Records in a span of memory, found all at once: where each one's payload starts and how long it is.

Ring buffers and perf buffers both hold a chain of records, each as long as its header says. This module turns a chain
into arrays without a Python step for each record: by one comparison of all headers when the records are equally long
(which they nearly always are), else by doubling jumps. Owns no memory: everything is a view of the given span.
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
    """The payloads of a span, in order. Views: valid until the buffer they came from is advanced or closed."""

    #: The span that holds them.
    data: Bytes
    #: Where each payload starts in `data`.
    offsets: Offsets
    #: Bytes of each payload.
    sizes: Offsets
    #: How many bytes of the buffer these records take: what to advance by.
    nbytes: int
    #: From one payload to the next where that is the same for all, and each as long as the first; 0 where not known.
    stride: int = 0

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, itemsize: int) -> Bytes:
        """The payloads as an (n, itemsize) array: the first bytes of longer ones, shorter ones padded with zeros.

        A view, not a copy, when the records are equally spaced and all long enough. View a row array as a structured
        dtype with `rows(dtype.itemsize).view(dtype)[:, 0]`.
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
        """A copy, one block of memory a record."""
        starts = max(len(self.data) - itemsize + 1, 0)
        blocks = np.ndarray((starts,), f"V{itemsize}", self.data, strides=(1,))  # one at every byte, overlapping
        fits = self.offsets < starts
        out = np.zeros((len(self.offsets), itemsize), np.uint8)
        out.view(f"V{itemsize}")[fits, 0] = blocks[self.offsets[fits]]
        for index in np.flatnonzero(~fits):  # at most the few records at the span's very end
            start, size = int(self.offsets[index]), int(self.sizes[index])
            out[index, :size] = self.data[start : start + size]
        short = self.sizes < itemsize
        if short.any():
            out[short] *= np.arange(itemsize) < self.sizes[short, None]
        return out


def _spacing(offsets: Offsets) -> int:
    """The distance between neighbours when it is the same everywhere (any, for one record), else 0."""
    if len(offsets) == 1:
        return 1
    stride = int(offsets[1] - offsets[0])
    return stride if bool((np.diff(offsets) == stride).all()) else 0


def chain(lengths: NDArray[np.int64]) -> Offsets:
    """Follow a chain of records through slots: `lengths[i]` is how many slots a record starting at slot `i` takes.

    Returns the slot of each record, ascending, the first being 0. Lengths below one end the chain. What is reached is
    found by doubling: all records within 2^k steps, then 2^(k+1), so the work is a handful of array operations.
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
    """The records that start inside `lengths`, and the slot after the last of them (0 when the chain ends)."""
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
