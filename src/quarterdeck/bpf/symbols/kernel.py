"""The kernel's functions from /proc/kallsyms: its own, those of modules, and compiled eBPF programs.

It owns the reading of that file, column-wise. If the kernel hides its addresses (kptr_restrict), there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.strings import StringTable
from quarterdeck.bpf.symbols.functions import Functions

_TEXT_TYPES = np.frombuffer(b"tTwW", dtype=np.uint8)
_ADDRESS_DIGITS = 16
_BLOCK_BYTES = 256 << 10
#: from the start of the line to the name: `ffffffff81000000 T `
_NAME_AT = _ADDRESS_DIGITS + 3
#: kallsyms has no sizes: a function ends where the next begins. No function is longer than this, so an address further
#: on is between the kernel and its modules
_MAX_FUNCTION_BYTES = np.uint64(1 << 20)


def read_kallsyms(file: BinaryIO) -> Functions:
    """Return the functions in the open /proc/kallsyms.

    Those of modules end with the module: `nft_do_chain [nf_tables]`.
    """
    addresses: list[NDArray[np.uint64]] = []
    lengths: list[NDArray[np.int64]] = []
    names: list[bytes] = []
    for block in _blocks(file):
        found = _functions(block)
        addresses.append(found[0])
        lengths.append(found[1])
        names.append(found[2])
    starts = np.concatenate(addresses) if addresses else np.zeros(0, np.uint64)
    if not starts.any():
        return Functions.none()
    sizes = np.concatenate(lengths)
    offsets = (np.cumsum(sizes) - sizes).astype(np.uint32)
    functions = Functions.of(starts, np.zeros_like(starts), offsets, StringTable(b"".join(names)))
    np.minimum(functions.ends, functions.starts + _MAX_FUNCTION_BYTES, out=functions.ends)
    return functions


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield blocks of whole lines. The whole text and its columns would temporarily take 50 MB."""
    while block := file.read(_BLOCK_BYTES):
        yield block + file.readline()


def _functions(block: bytes) -> tuple[NDArray[np.uint64], NDArray[np.int64], bytes]:
    """Return the addresses of functions in whole lines, the lengths of their names, and the NUL-terminated names."""
    raw = np.frombuffer(block.replace(b"\t", b" "), dtype=np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    starts = np.append(0, ends + 1)[: len(ends)]
    named = ends - starts > _NAME_AT
    starts, ends = starts[named], ends[named]
    text = np.isin(raw[starts + _ADDRESS_DIGITS + 1], _TEXT_TYPES)
    starts, ends = starts[text], ends[text]
    # Keep only the names, each with its newline replaced by the NUL that ends it.
    edges = np.zeros(len(raw) + 1, dtype=np.int8)
    edges[starts + _NAME_AT] = 1
    edges[ends + 1] = -1
    names = raw[np.cumsum(edges[:-1], dtype=np.int8).astype(np.bool_)]
    lengths = (ends - starts - _NAME_AT + 1).astype(np.int64)
    names[np.cumsum(lengths) - 1] = 0
    return _hexadecimal(raw, starts), lengths, names.tobytes()


def _hexadecimal(raw: NDArray[np.uint8], starts: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return the number in lower-case hex digits at each start."""
    numbers = np.zeros(len(starts), dtype=np.uint64)
    for at in range(_ADDRESS_DIGITS):
        digits = raw[starts + at]
        values = np.where(digits >= ord("a"), digits - (ord("a") - 10), digits - ord("0"))
        numbers = numbers << np.uint64(4) | (values & 0xF).astype(np.uint64)
    return numbers
