"""The one door to names: a column of addresses in, a column of names out.

Owns when the kernel's symbols and a process's mappings are read again. Nothing here fails because a process has ended,
a file is unreadable or an address is nonsense: such frames keep their place in words. Not for several threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.symbols.cache import Cache
from quarterdeck.bpf.symbols.files import SymbolFiles
from quarterdeck.bpf.symbols.functions import Functions
from quarterdeck.bpf.symbols.kernel import read_kallsyms
from quarterdeck.bpf.symbols.process import Mapping, Maps

MAX_PROCESSES = 4096
MAX_MAPS_BYTES = 16 << 20
#: An address without a symbol may belong to a module loaded since: read kallsyms again (it takes 100 ms and 20 MB), but
#: not more often than this; each time that it did not help, wait twice as long.
KALLSYMS_INTERVAL_S = 30.0
KALLSYMS_INTERVAL_CAP_S = 3600.0


class Symbolizer:
    """Names for kernel and user addresses; `proc` is where the process table is mounted."""

    def __init__(self, *, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._kernel: Functions | None = None
        self._kernel_read_at = 0.0
        self._kernel_interval_s = KALLSYMS_INTERVAL_S
        self._maps = Cache[int, Maps](max_entries=MAX_PROCESSES, max_bytes=MAX_MAPS_BYTES)
        self._files = SymbolFiles(proc)

    def kernel(self, addresses: NDArray[np.uint64]) -> list[str]:
        """A name for each kernel address: `tcp_sendmsg`, `nft_do_chain [nf_tables]`, or the address in hex."""
        unique, inverse = np.unique(addresses, return_inverse=True)
        if self._kernel is None:
            self._read_kernel()
        names = self._find_kernel(unique)
        if None in names and self._clock() - self._kernel_read_at >= self._kernel_interval_s:
            unknown = names.count(None)
            self._read_kernel()
            names = self._find_kernel(unique)
            helped = names.count(None) < unknown
            longer_s = min(2 * self._kernel_interval_s, KALLSYMS_INTERVAL_CAP_S)
            self._kernel_interval_s = KALLSYMS_INTERVAL_S if helped else longer_s
        return _spread([name or hex(at) for name, at in zip(names, unique.tolist(), strict=True)], inverse)

    def user(self, pid: int, addresses: NDArray[np.uint64]) -> list[str]:
        """A name for each address in the memory of process `pid`, which may have ended since it was last asked for.

        Where no symbol is known: `libc.so.6[3b0a1c…]+0x2f3a1` (file name, build id if it has one, and offset in
        the file as in /proc/PID/maps and in the kernel's build-id stacks), `[anon]+0x1f` (offset in memory without a
        file), or the bare address in hex where nothing is mapped.
        """
        unique, inverse = np.unique(addresses, return_inverse=True)
        names = [hex(address) for address in unique.tolist()]
        maps = self._current_maps(pid)
        held_by = maps.find(unique)
        held: set[int] = set(held_by[held_by >= 0].tolist())
        for index in sorted(held):
            positions = np.flatnonzero(held_by == index)
            found = self._name_mapped(pid, maps.mappings[index], unique[positions])
            for position, name in zip(positions.tolist(), found, strict=True):
                names[position] = name
        return _spread(names, inverse)

    def _read_kernel(self) -> None:
        self._kernel_read_at = self._clock()
        try:
            with (self._proc / "kallsyms").open("rb") as file:
                self._kernel = read_kallsyms(file)
        except OSError:  # a kernel without CONFIG_KALLSYMS
            self._kernel = Functions.none()

    def _find_kernel(self, addresses: NDArray[np.uint64]) -> list[str | None]:
        return [None] * len(addresses) if self._kernel is None else self._kernel.find(addresses)

    def _current_maps(self, pid: int) -> Maps:
        """The mappings of the process now, or as they were last seen."""
        try:
            content = (self._proc / str(pid) / "maps").read_bytes()
        except OSError:
            content = b""
        known = self._maps.get(pid)
        if known is not None and (not content or known.source == hash(content)):
            return known
        if not content:
            return Maps.parse(b"")
        maps = Maps.parse(content)
        self._maps.put(pid, maps, nbytes=len(content))
        return maps

    def _name_mapped(self, pid: int, mapping: Mapping, addresses: NDArray[np.uint64]) -> list[str]:
        offsets = addresses - np.uint64(mapping.start) + np.uint64(mapping.offset)
        if mapping.inode == 0 and mapping.path != "[vdso]":
            names, place = self._files.jit(pid).find(addresses), mapping.name
        else:
            file = self._files.mapped(pid, mapping)
            names = file.find(offsets)
            place = f"{mapping.name}[{file.build_id}]" if file.build_id else mapping.name
        return [name or f"{place}+{offset:#x}" for name, offset in zip(names, offsets.tolist(), strict=True)]


def _spread(names: list[str], inverse: NDArray[np.intp]) -> list[str]:
    """The names of distinct addresses, back at every place where the address stood."""
    column: list[str] = np.array(names, dtype=object)[inverse].tolist()
    return column
