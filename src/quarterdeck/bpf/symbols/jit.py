"""The functions of JIT compilers at run time, from the files /tmp/perf-PID.map that they write for perf.

It owns that format (tools/perf/Documentation/jit-interface.txt in the kernel's source). The owner of the process writes
the file, so its size is limited and its names are treated only as text.
"""

from __future__ import annotations

import re

import numpy as np

from quarterdeck.bpf.strings import StringTable
from quarterdeck.bpf.symbols.functions import Functions

#: most bytes that are read, about half a million functions
MAX_PERF_MAP_BYTES = 32 << 20

_LINE = re.compile(rb"^(?:0x)?([0-9a-fA-F]{1,16}) +(?:0x)?([0-9a-fA-F]{1,16}) +(.+)$", re.MULTILINE)


def parse_perf_map(content: bytes) -> Functions:
    """Return the functions in a perf map, lines of `START SIZE NAME` in hex; a later line replaces an earlier one."""
    lines = _LINE.findall(content)[::-1]
    names = [name.replace(b"\0", b" ") for _, _, name in lines]
    offsets = np.cumsum([0, *(len(name) + 1 for name in names)])[:-1]
    return Functions.of(
        np.array([int(start, 16) for start, _, _ in lines], dtype=np.uint64),
        np.array([int(size, 16) for _, size, _ in lines], dtype=np.uint64),
        offsets.astype(np.uint32),
        StringTable(b"\0".join([*names, b""])),
    )
