"""String tables: the NUL-terminated names that ELF and BTF both keep apart from what they name.

Owns reading a name at an offset and finding the offsets of a name. Never keeps decoded names: a kernel has a hundred
thousand of them and hardly any is asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Longer names are cut: C++ makes some of many kilobytes, and a damaged table may hold no terminator at all.
MAX_NAME_BYTES = 4096


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
