"""The conversion of a column of addresses into a column of names. It is the interface of this package.

It owns the decision when the kernel's symbols and a process's mappings are read again. It does not fail when a process
has ended, a file is unreadable or an address is invalid: such frames get a text with the known facts. One thread may
use it at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.symbols.cache import Cache
from quarterdeck.bpf.symbols.changes import modules, program_ids
from quarterdeck.bpf.symbols.files import SymbolFiles
from quarterdeck.bpf.symbols.functions import Functions
from quarterdeck.bpf.symbols.kernel import read_kallsyms
from quarterdeck.bpf.symbols.process import Mapping, Maps

MAX_PROCESSES = 4096
#: kernel text that can be removed, by the end of its symbols' names: `[bpf]` and the names of modules
_PASSING = "]"
#: shortest interval between reads of kallsyms while programs or modules change continually, after an initial burst
CHANGES_INTERVAL_S = 2.0
CHANGES_BURST = 8
MAX_MAPS_BYTES = 16 << 20
#: shortest interval between reads of kallsyms for an address without a symbol, which may belong to a newly loaded
#: module (a read takes 100 ms and 20 MB); it doubles after each read that did not help
KALLSYMS_INTERVAL_S = 30.0
KALLSYMS_INTERVAL_CAP_S = 3600.0


class Symbolizer:
    """Names for kernel and user addresses. `proc` is where the process table is mounted."""

    def __init__(
        self,
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
        programs: Callable[[], tuple[int, ...] | None] = program_ids,
    ) -> None:
        """Create the symbolizer. `programs` returns the ids of the loaded eBPF programs, None if it may not."""
        self._proc = proc
        self._clock = clock
        self._programs = programs
        self._kernel: Functions | None = None
        self._present: tuple[object, ...] = ()  # the programs and modules at the time the kernel's symbols were read
        self._changes = CHANGES_BURST  # number of changes that may still be followed immediately
        self._kernel_read_at = 0.0
        self._kernel_interval_s = KALLSYMS_INTERVAL_S
        self._maps = Cache[int, Maps](max_entries=MAX_PROCESSES, max_bytes=MAX_MAPS_BYTES)
        self._files = SymbolFiles(proc)

    def kernel(self, addresses: NDArray[np.uint64]) -> list[str]:
        """Return a name for each kernel address: `tcp_sendmsg`, `nft_do_chain [nf_tables]`, or the address in hex."""
        unique, inverse = np.unique(addresses, return_inverse=True)
        if self._kernel is None:
            self._read_kernel()
        names = self._find_kernel(unique)
        if any(name is None or name.endswith(_PASSING) for name in names) and self._changed():
            if self._may_follow():
                self._read_kernel()
                names = self._find_kernel(unique)
            else:  # the current owner of these addresses is unknown, and the previous one would be wrong
                names = [None if name and name.endswith(_PASSING) else name for name in names]
        elif None in names and self._clock() - self._kernel_read_at >= self._kernel_interval_s:
            unknown = names.count(None)
            self._read_kernel()
            names = self._find_kernel(unique)
            helped = names.count(None) < unknown
            longer_s = min(2 * self._kernel_interval_s, KALLSYMS_INTERVAL_CAP_S)
            self._kernel_interval_s = KALLSYMS_INTERVAL_S if helped else longer_s
        return _spread([name or hex(at) for name, at in zip(names, unique.tolist(), strict=True)], inverse)

    def user(self, pid: int, addresses: NDArray[np.uint64]) -> list[str]:
        """Return a name for each address in the memory of process `pid`, which may have ended since the last call.

        An address without a symbol becomes `libc.so.6[3b0a1c…]+0x2f3a1` (file name, build id if it has one, and offset
        in the file as in /proc/PID/maps and in the kernel's build-id stacks), `[anon]+0x1f` (offset in memory without a
        file), or the address in hex when nothing is mapped.
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

    def _changed(self) -> bool:
        """Return whether programs or modules changed since the kernel's symbols were read."""
        return self._now_present() != self._present

    def _now_present(self) -> tuple[object, ...]:
        programs = self._programs()
        if programs is None:  # unknown: read the symbols again at intervals
            programs = (int(self._clock() // KALLSYMS_INTERVAL_S),)
        return programs, modules(self._proc)

    def _may_follow(self) -> bool:
        """Return whether another change may be followed immediately; the rate is limited."""
        passed = int((self._clock() - self._kernel_read_at) / CHANGES_INTERVAL_S)
        self._changes = min(CHANGES_BURST, self._changes + passed)
        if not self._changes:
            return False
        self._changes -= 1
        return True

    def _read_kernel(self) -> None:
        self._kernel_read_at = self._clock()
        self._present = self._now_present()
        try:
            with (self._proc / "kallsyms").open("rb") as file:
                self._kernel = read_kallsyms(file)
        except OSError:  # a kernel without CONFIG_KALLSYMS
            self._kernel = Functions.none()

    def _find_kernel(self, addresses: NDArray[np.uint64]) -> list[str | None]:
        return [None] * len(addresses) if self._kernel is None else self._kernel.find(addresses)

    def _current_maps(self, pid: int) -> Maps:
        """Return the current mappings of the process, or as they were last seen."""
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
    """Return the names of distinct addresses at every position of the address."""
    column: list[str] = np.array(names, dtype=object)[inverse].tolist()
    return column
