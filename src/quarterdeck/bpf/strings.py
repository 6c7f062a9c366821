"""String tables: the NUL-terminated names that ELF and BTF store separately.

It owns the reading of a name at an offset and the search for the offsets of a name. It never keeps all names decoded: a
kernel has a hundred thousand of them, and few are needed.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

#: longer names are truncated: some of C++ have many kilobytes, and a damaged table may have no terminator
MAX_NAME_BYTES = 4096

#: bytes compressed together; reading a name decompresses one block, or two if it crosses their border
_BLOCK_BYTES = 32 << 10
#: number of names kept: most requested names were requested recently
_REMEMBERED = 2048


class StringTable:
    """Names by their byte offset into `table`."""

    def __init__(self, table: bytes) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def get(self, offset: int) -> str:
        """Return the name at `offset`, truncated at `MAX_NAME_BYTES`.

        The caller must refuse an offset outside the table.
        """
        limit = min(offset + MAX_NAME_BYTES, len(self._table))
        end = self._table.find(b"\0", offset, limit)
        return self._table[offset : end if end >= 0 else limit].decode("utf-8", "backslashreplace")

    def offsets(self, name: str) -> NDArray[np.uint32]:
        """Return every offset at which exactly `name` can be read. Linkers let one string be the tail of another."""
        wanted = name.encode("utf-8", "surrogateescape") + b"\0"
        found: list[int] = []
        at = self._table.find(wanted) if len(wanted) > 1 else -1
        while at >= 0:
            found.append(at)
            at = self._table.find(wanted, at + 1)
        return np.array(found, dtype=np.uint32)

    def first_bytes(self, offsets: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Return the first byte of the name at each offset, all of which must be in the table."""
        return np.frombuffer(self._table, dtype=np.uint8)[offsets]

    def packed(self) -> PackedStrings:
        """Return the same names in a fraction of the memory."""
        return PackedStrings(self._table)


class PackedStrings:
    """Names by their byte offset into a table that is kept compressed. Mangled names shrink to a fifth."""

    def __init__(self, table: bytes) -> None:
        starts = range(0, len(table), _BLOCK_BYTES)
        self._blocks = [zlib.compress(table[start : start + _BLOCK_BYTES], 1) for start in starts]
        self._remembered: OrderedDict[int, str] = OrderedDict()
        self.nbytes = sum(map(len, self._blocks))

    def get(self, offset: int) -> str:
        """Return the name at `offset`, as StringTable does."""
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
