"""The memory map of one process: the file and the offset that an address comes from.

It owns the meaning of /proc/PID/maps. It never opens the files that it names, and never stops or traces the process.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

#: An executable line: `start-end perms offset device inode path`. Other lines are irrelevant for stack frames.
_EXECUTABLE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) ([0-9a-f:]+) (\d+) *(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One executable mapping: [start, end) maps the file from byte `offset` on. Inode 0 is memory without a file."""

    start: int
    end: int
    offset: int
    device: str
    inode: int
    path: str

    @property
    def name(self) -> str:
        """Return the name of the file, `[vdso]` and similar names unchanged, and `[anon]` for memory without a name."""
        return self.path.removesuffix(" (deleted)").rpartition("/")[2] or "[anon]"


@dataclass(frozen=True, slots=True)
class Maps:
    """The executable mappings of a process, sorted by address."""

    mappings: tuple[Mapping, ...]
    starts: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    source: int  #: hash of the text from which these were read

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return the mappings in the text of /proc/PID/maps."""
        mappings = tuple(
            Mapping(int(start, 16), int(end, 16), int(offset, 16), device.decode(), int(inode), os.fsdecode(path))
            for start, end, offset, device, inode, path in _EXECUTABLE.findall(content)
        )
        starts = np.array([mapping.start for mapping in mappings], dtype=np.uint64)
        return cls(mappings, starts, np.array([mapping.end for mapping in mappings], dtype=np.uint64), hash(content))

    def find(self, addresses: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Return the index of the mapping that contains each address, -1 for none."""
        indexes = np.searchsorted(self.starts, addresses, side="right") - 1
        if self.mappings:
            indexes[addresses >= self.ends[indexes]] = -1
        return indexes
