"""Memory of this process: freed blocks are reused by later batches, and returned to the kernel after a while.

Every batch takes a few megabytes and frees them. glibc returns blocks of that size to the kernel at once, and the
kernel provides zeroed pages for the next batch, one fault each: as much CPU time as it takes to compress the batch. So
free blocks are kept, in few arenas, and returned only occasionally: loading a module, for example, takes tens of
megabytes once (libbpf reads all of the kernel's types).
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # mallopt(3)
#: blocks from this size on still come from the kernel and are returned to it; a column of a full batch is smaller
MAPPED_FROM_BYTES = 16 << 20
#: free memory at the end of a heap that is kept
KEPT_BYTES = 32 << 20
#: heaps that threads share; they rarely allocate at one time, as few run at one time
ARENAS = 2
#: how often memory may be returned: what is used again must be mapped again, page by page
TRIM_INTERVAL_S = 10.0
#: growth of the process after which memory is returned
TRIM_FROM_BYTES = 4 << 20

_MADV_DONTNEED = 4  # madvise(2)
#: of /proc/PID/smaps (proc(5)): mappings that are private and not writable; place, file, the lines that follow
_MAPPING = re.compile(r"^([0-9a-f]+-[0-9a-f]+) r-[x-]p \S+ \S+ \S+ *(.*)((?:\n[A-Z].*)+)\n", re.MULTILINE)
_libc = ctypes.CDLL(None)


def keep_freed_blocks() -> None:
    """Configure the C library for the whole process; without effect where it is not glibc."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        _libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        _libc.mallopt(_M_ARENA_MAX, ARENAS)


async def trim() -> None:
    """Return unused memory whenever the process has grown, without end; takes milliseconds, mostly without the GIL."""
    settled_bytes = 0
    while True:
        await asyncio.sleep(TRIM_INTERVAL_S)
        before_bytes = _resident_bytes()
        if before_bytes > settled_bytes + TRIM_FROM_BYTES:
            await asyncio.to_thread(give_back)
            after_bytes = _resident_bytes()
            # Memory in use now may be free soon: it has settled when little is left to return.
            settled_bytes = after_bytes if before_bytes - after_bytes < 2 * TRIM_FROM_BYTES else 0


def give_back() -> None:
    """Return free blocks, and pages of libraries that were used once; what is used again is mapped again."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
    for start, stop in _unchanged(Path("/proc/self/smaps").read_text()):
        _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), _MADV_DONTNEED)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def _unchanged(smaps: str) -> Iterator[tuple[int, int]]:
    """Yield where files are mapped without changed pages, so that the pages can be read again."""
    for place, path, fields in _MAPPING.findall(smaps):
        if path.startswith("/") and "\nAnonymous:             0 kB\n" in fields:
            start, _, stop = place.partition("-")
            yield int(start, 16), int(stop, 16)
