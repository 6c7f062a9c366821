"""IP addresses as text, a whole column at a time: IPv4 as a.b.c.d, IPv6 as in RFC 5952.

A column of type `ip` is stored as text, so that the same literal, `'127.0.0.1'`, is displayed and compared, whichever
kind of socket saw the address. Each address is written into a row of bytes long enough for any address, and unused
bytes are dropped. It never parses text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MAPPED = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)
_GROUPS = 8
_GROUP_WIDTH = 6  # two colons and four digits
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def _longest_run(zeros: int) -> tuple[int, int]:
    """Return (start, end) of the longest run of at least two set bits; the first of equal ones."""
    runs = [
        (end - start, -start)
        for start in range(_GROUPS)
        for end in range(start + 2, _GROUPS + 1)
        if all(zeros >> place & 1 for place in range(start, end))
    ]
    length, start = max(runs, default=(0, 0))
    return -start, -start + length


#: For each set of zero groups (bit i: group i), the first and last of the groups that `::` stands for.
_RUNS = np.array([_longest_run(zeros) for zeros in range(1 << _GROUPS)], np.int64)


def address_texts(octets: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return offsets and bytes of the texts of (n, 16) addresses in network order."""
    width = _GROUPS * _GROUP_WIDTH
    texts, kept = np.zeros((len(octets), width), np.uint8), np.zeros((len(octets), width), np.bool_)
    old = (octets[:, :12] == _MAPPED).all(axis=1)
    for rows, write in ((old, _decimal), (~old, _hexadecimal)):
        if rows.any():
            written, needed = write(octets[rows])
            texts[rows, : written.shape[1]], kept[rows, : needed.shape[1]] = written, needed
    offsets = np.zeros(len(octets) + 1, np.int32)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return offsets, texts[kept]


def _decimal(octets: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the last four octets as `.ddd` each, and which of those bytes the text uses."""
    last = octets[:, 12:]
    texts = np.full((len(last), 4, 4), ord("."), np.uint8)
    for place, unit in enumerate((100, 10, 1)):
        texts[:, :, place + 1] = last // unit % 10 + ord("0")
    kept = np.ones(texts.shape, np.bool_)
    kept[:, 0, 0] = False
    kept[:, :, 1] = last >= 100
    kept[:, :, 2] = last >= 10
    return texts.reshape(len(last), -1), kept.reshape(len(last), -1)


def _hexadecimal(octets: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the groups as `::xxxx` each, and which of those bytes the text uses."""
    groups = octets.reshape(-1, _GROUPS, 2).astype(np.uint16)
    numbers = groups[:, :, 0] << 8 | groups[:, :, 1]
    texts = np.full((len(numbers), _GROUPS, _GROUP_WIDTH), ord(":"), np.uint8)
    kept = np.ones(texts.shape, np.bool_)
    for place, shift in enumerate((12, 8, 4, 0)):
        texts[:, :, place + 2] = _HEX[numbers >> shift & 0xF]
        kept[:, :, place + 2] = (numbers >> shift != 0) | (shift == 0)
    runs = _RUNS[((numbers == 0) << np.arange(_GROUPS)).sum(axis=1)]
    start, end = runs[:, :1], runs[:, 1:]
    place = np.arange(_GROUPS)
    inside, first, after = (place >= start) & (place < end), place == start, place == end
    first &= end > start
    kept[:, :, 0] = first | (~inside & ~(after & (end > start)) & (place > 0))
    kept[:, :, 1] = first
    kept[:, :, 2:] &= ~inside[:, :, None]
    return texts.reshape(len(numbers), -1), kept.reshape(len(numbers), -1)
