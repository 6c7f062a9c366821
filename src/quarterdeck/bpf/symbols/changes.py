"""Changes in the kernel's text: eBPF programs and kernel modules come and go, and their addresses are reused.

It owns a cheap list of the current ones, without their symbols: program ids are unique until the next boot, and modules
have a name and an address. It never reads kallsyms.
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from quarterdeck.bpf import syscall
from quarterdeck.bpf.errors import SyscallError
from quarterdeck.bpf.uapi import Command

_NEXT_ID = struct.Struct("=III")  # start, next, flags


def program_ids() -> tuple[int, ...] | None:
    """Return the ids of all loaded eBPF programs; None if this process is not allowed to read them."""
    found: list[int] = []
    last = 0
    while True:
        attr = syscall.new_attr(_NEXT_ID, last, 0, 0)
        try:
            syscall.bpf(Command.PROG_GET_NEXT_ID, attr)
        except SyscallError as error:
            return tuple(found) if error.errno == errno.ENOENT else None
        last = _NEXT_ID.unpack_from(attr)[1]
        found.append(last)


def modules(proc: Path) -> bytes:
    """Return the kernel's modules with their addresses, without their use counts."""
    try:
        lines = (proc / "modules").read_bytes().splitlines()
    except OSError:  # a kernel without modules
        return b""
    return b"\n".join(b" ".join(line.split()[::5]) for line in lines)
