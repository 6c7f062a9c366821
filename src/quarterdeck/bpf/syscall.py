"""bpf(2), perf_event_open(2) and related information of the kernel, without libbpf.

It owns the system call numbers, the packing of `union bpf_attr`, and the CPU counts. It does not depend on objects or
sections, and never repeats what libbpf does (ELF, BTF, CO-RE).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from quarterdeck.bpf.errors import BpfError, SyscallError
from quarterdeck.bpf.uapi import Command

#: machine → numbers of bpf(2) and perf_event_open(2); the second row is the generic table of newer architectures
_NUMBERS = {
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "ppc64le": (361, 319),
}
_ATTR_BYTES = 144  # longer than any command used here and accepted by every kernel so far, with zeros at the end

_Attr = ctypes.c_char * _ATTR_BYTES
_libc = ctypes.CDLL(None, use_errno=True)

PERF_TYPE_HARDWARE = 0
PERF_TYPE_SOFTWARE = 1
PERF_TYPE_TRACEPOINT = 2
PERF_FLAG_FD_CLOEXEC = 8


def _number(index: int) -> int:
    machine = os.uname().machine
    if machine not in _NUMBERS:
        raise BpfError(f"the system call numbers of {machine} are not known here; known: {', '.join(_NUMBERS)}")
    return _NUMBERS[machine][index]


def bpf(command: Command, attr: bytes | bytearray) -> int:
    """Call bpf(2) with `attr`, zero-padded to the whole union.

    The kernel writes its answers into a bytearray of full length.

    Return the result of the call (a new fd or 0). Raise `SyscallError`. Only memory that `attr` names is accessed.
    """
    whole = isinstance(attr, bytearray) and len(attr) == _ATTR_BYTES
    union = _Attr.from_buffer(attr if whole else bytearray(attr).ljust(_ATTR_BYTES, b"\0"))
    result: int = _libc.syscall(_number(0), int(command), union, _ATTR_BYTES)
    if result < 0:
        raise SyscallError(f"bpf({command.name})", ctypes.get_errno())
    return result


def new_attr(layout: struct.Struct, *values: int) -> bytearray:
    """Return a whole `union bpf_attr` that starts with `values` in `layout`, for calls that write answers into it."""
    attr = bytearray(_ATTR_BYTES)
    layout.pack_into(attr, 0, *values)
    return attr


def address_of(buffer: bytearray) -> int:
    """Return the address of a bytearray's bytes. The caller keeps the bytearray alive while the kernel may use it."""
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer)) if buffer else 0


def load_program(
    program_type: int,
    instructions: bytes,
    *,
    attach_type: int = 0,
    attach_btf_id: int = 0,
    sleepable: bool = False,
) -> int:
    """Load bare instructions (8 bytes each, no relocations) under a GPL licence and return the program's fd."""
    code = bytearray(instructions)
    licence = bytearray(b"GPL\0")
    attr = bytearray(_ATTR_BYTES)
    struct.pack_into("<IIQQ", attr, 0, program_type, len(code) // 8, address_of(code), address_of(licence))
    struct.pack_into("<I", attr, 44, 1 << 4 if sleepable else 0)  # prog_flags: BPF_F_SLEEPABLE
    struct.pack_into("<I", attr, 68, attach_type)
    struct.pack_into("<I", attr, 108, attach_btf_id)
    return bpf(Command.PROG_LOAD, attr)


def create_map(map_type: int, *, key_size: int, value_size: int, max_entries: int, flags: int = 0) -> int:
    """Create a nameless map and return its fd."""
    return bpf(Command.MAP_CREATE, struct.pack("<IIIII", map_type, key_size, value_size, max_entries, flags))


def create_link(program_fd: int, target: int, attach_type: int, *, flags: int = 0, extra: bytes = b"") -> int:
    """Call BPF_LINK_CREATE (Linux 5.7) to attach a program to an fd or interface; `extra` depends on the kind."""
    return bpf(Command.LINK_CREATE, struct.pack("<IIII", program_fd, target, attach_type, flags) + extra)


def run_program(program_fd: int, *, packet: bytes = b"", context: bytes = b"", repeat: int = 0) -> tuple[int, int]:
    """Run a program once (or `repeat` times) in the kernel, and return its return value and nanoseconds for each run.

    Packet programs (socket filter, tc, XDP) need at least 14 bytes of `packet`; `SEC("syscall")` programs take only
    `context`, and raw tracepoints their argument words in it.
    """
    data, ctx = bytearray(packet), bytearray(context)
    attr = bytearray(_ATTR_BYTES)
    struct.pack_into("<IIIIQQII", attr, 0, program_fd, 0, len(data), 0, address_of(data), 0, repeat, 0)
    struct.pack_into("<IIQQ", attr, 40, len(ctx), 0, address_of(ctx), 0)
    bpf(Command.PROG_TEST_RUN, attr)
    return struct.unpack_from("<I", attr, 4)[0], struct.unpack_from("<I", attr, 36)[0]


def object_info(fd: int, size: int) -> bytearray:
    """Call BPF_OBJ_GET_INFO_BY_FD: return the first `size` bytes of bpf_prog_info, bpf_map_info or bpf_link_info."""
    info = bytearray(size)
    bpf(Command.OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, size, address_of(info)))
    return info


def perf_event_open(attr: bytes, *, pid: int = -1, cpu: int = -1) -> int:
    """Call perf_event_open(2) with close-on-exec. `attr` is a struct perf_event_attr with its size set."""
    buffer = ctypes.create_string_buffer(attr, len(attr))
    result: int = _libc.syscall(_number(1), buffer, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    if result < 0:
        raise SyscallError("perf_event_open", ctypes.get_errno())
    return result


def perf_attr(
    event_type: int,
    config: int,
    *,
    period: int = 0,
    frequency: int = 0,
    sample_type: int = 0,
    read_format: int = 0,
    wakeup_bytes: int = 0,
) -> bytes:
    """Return a struct perf_event_attr (PERF_ATTR_SIZE_VER5, 112 bytes; Linux 4.1).

    `period` is the number of events between samples, `frequency` the number of samples per second; `wakeup_bytes` wakes
    readers by watermark instead of by sample.
    """
    flags = (1 << 10 if frequency else 0) | (1 << 14 if wakeup_bytes else 0)  # freq, watermark
    attr = bytearray(112)
    struct.pack_into("<IIQQQQQ", attr, 0, event_type, 112, config, frequency or period, sample_type, read_format, flags)
    struct.pack_into("<I", attr, 48, wakeup_bytes)
    return bytes(attr)


def parse_cpu_list(text: str) -> list[int]:
    """Return the numbers in the kernel's CPU list format (`0-3,8`)."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def online_cpus() -> Sequence[int]:
    """Return the online CPUs, on which events can be opened."""
    return parse_cpu_list(Path("/sys/devices/system/cpu/online").read_text())


def possible_cpus() -> int:
    """Return the number of values in an entry of a per-CPU map."""
    return parse_cpu_list(Path("/sys/devices/system/cpu/possible").read_text())[-1] + 1
