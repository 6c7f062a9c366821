"""String tables: the NUL-terminated names that ELF and BTF both keep apart from what they name.

Owns reading a name at an offset and finding the offsets of a name. Never keeps all names decoded: a kernel has a
hundred thousand of them and hardly any is asked for.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

#: Longer names are cut: C++ makes some of many kilobytes, and a damaged table may hold no terminator at all.
MAX_NAME_BYTES = 4096

#: packed together; a name is read by unpacking one of these, two if it lies across
_BLOCK_BYTES = 32 << 10
#: names that are asked for are mostly those of the time before
_REMEMBERED = 2048


class StringTable:
    """Names by their byte offset into `table`."""

    def __init__(self, table: bytes) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def get(self, offset: int) -> str:
        """The name at `offset`, cut at `MAX_NAME_BYTES`; an offset past the table is the caller's to refuse first."""
        limit = min(offset + MAX_NAME_BYTES, len(self._table))
        end = self._table.find(b"\0", offset, limit)
        return self._table[offset : end if end >= 0 else limit].decode("utf-8", "backslashreplace")

    def offsets(self, name: str) -> NDArray[np.uint32]:
        """Every offset at which exactly `name` can be read: linkers let one string be the tail of another."""
        wanted = name.encode("utf-8", "surrogateescape") + b"\0"
        found: list[int] = []
        at = self._table.find(wanted) if len(wanted) > 1 else -1
        while at >= 0:
            found.append(at)
            at = self._table.find(wanted, at + 1)
        return np.array(found, dtype=np.uint32)

    def first_bytes(self, offsets: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """The first byte of the name at each offset, all of which must lie in the table."""
        return np.frombuffer(self._table, dtype=np.uint8)[offsets]

    def packed(self) -> PackedStrings:
        """The same names in a fraction of the memory."""
        return PackedStrings(self._table)


class PackedStrings:
    """Names by their byte offset into a table that is kept compressed: mangled names shrink to a fifth."""

    def __init__(self, table: bytes) -> None:
        starts = range(0, len(table), _BLOCK_BYTES)
        self._blocks = [zlib.compress(table[start : start + _BLOCK_BYTES], 1) for start in starts]
        self._remembered: OrderedDict[int, str] = OrderedDict()
        self.nbytes = sum(map(len, self._blocks))

    def get(self, offset: int) -> str:
        """The name at `offset`, as StringTable gives it."""
        name = self._remembered.pop(offset, None)
        if name is None:
            name = self._unpack(offset)
        self._remembered[offset] = name
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return name

    def _unpack(self, offset: int) -> str:
        index, at = divmod(offset, _BLOCK_BYTES)
        around = zlib.decompress(self._blocks[index])
        if around.find(b"\0", at) < 0 and index + 1 < len(self._blocks):
            around += zlib.decompress(self._blocks[index + 1])
        return StringTable(around).get(at)
