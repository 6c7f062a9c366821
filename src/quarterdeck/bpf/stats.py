"""The cost of BPF: time and runs of programs, and memory of maps, as counted by the kernel.

It owns the switch that makes the kernel count. It only reads; a program's counts exist as long as the program.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from quarterdeck.bpf import syscall
from quarterdeck.bpf.uapi import Command, ProgramType

_INFO_BYTES = 232  # struct bpf_prog_info; older kernels fill fewer bytes and leave zeros
_BPF_STATS_RUN_TIME = 0
_MEMLOCK = re.compile(rb"^memlock:\s+(\d+)", re.MULTILINE)  # of /proc/PID/fdinfo/FD
_FDINFO_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ProgramStats:
    """The counts of one loaded program."""

    id: int
    type: ProgramType
    #: first 15 characters of its name
    name: str
    #: nanoseconds and runs since the load, counted only while counting() is active anywhere on the host
    run_time_ns: int
    run_count: int
    #: runs that the kernel skipped because the program was already running on that CPU (Linux 5.12)
    recursion_misses: int
    #: instructions that the verifier processed (Linux 5.16)
    verified_instructions: int
    #: bytes of machine code
    jited_bytes: int
    #: memory charged for it
    memory_bytes: int


@contextmanager
def counting() -> Generator[None]:
    """Make the kernel count time and runs of all BPF programs inside the block (Linux 5.8, CAP_SYS_ADMIN).

    It costs about 20 ns for each run. Blocks may nest and overlap, in this process and others. Raise `SyscallError`.
    """
    fd = syscall.bpf(Command.ENABLE_STATS, struct.pack("=I", _BPF_STATS_RUN_TIME))
    try:
        yield
    finally:
        os.close(fd)


def program_stats(fd: int) -> ProgramStats:
    """Return the kernel's counts for the program of `fd`."""
    info = syscall.object_info(fd, _INFO_BYTES)
    kind, number = struct.unpack_from("=II", info, 0)
    run_time, runs, misses, verified = struct.unpack_from("=QQQI", info, 192)
    return ProgramStats(
        id=number,
        type=ProgramType(kind),
        name=info[64:80].split(b"\0", 1)[0].decode("utf-8", "replace"),
        run_time_ns=run_time,
        run_count=runs,
        recursion_misses=misses,
        verified_instructions=verified,
        jited_bytes=struct.unpack_from("=I", info, 16)[0],
        memory_bytes=_memory(fd),
    )


def map_memory_bytes(fd: int) -> int:
    """Return the memory that the kernel currently charges for the map of `fd`."""
    return _memory(fd)


def _memory(fd: int) -> int:
    info = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = _MEMLOCK.search(os.read(info, _FDINFO_BYTES))
    finally:
        os.close(info)
    return int(found[1]) if found else 0
