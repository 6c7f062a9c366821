"""bpf(2), perf_event_open(2) and the small kernel questions around them, without libbpf.

Owns the system call numbers, the packing of `union bpf_attr`, and the CPU counts. It knows nothing of objects or
sections; what libbpf does well (ELF, BTF, CO-RE) is never repeated here.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from quarterdeck.bpf.errors import BpfError, SyscallError
from quarterdeck.bpf.uapi import Command

#: machine → numbers of bpf(2) and perf_event_open(2); the second row is the generic table of newer architectures.
_NUMBERS = {
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "ppc64le": (361, 319),
}
_ATTR_BYTES = 144  # what every kernel so far accepts: longer than any command used here, zeros beyond it

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
    """Call bpf(2) with `attr`, zero-padded to the whole union. A bytearray of full length gets the kernel's answers.

    Returns the call's result (a new fd or 0); raises SyscallError. Never touches memory other than what `attr` names.
    """
    whole = isinstance(attr, bytearray) and len(attr) == _ATTR_BYTES
    union = _Attr.from_buffer(attr if whole else bytearray(attr).ljust(_ATTR_BYTES, b"\0"))
    result: int = _libc.syscall(_number(0), int(command), union, _ATTR_BYTES)
    if result < 0:
        raise SyscallError(f"bpf({command.name})", ctypes.get_errno())
    return result


def new_attr(layout: struct.Struct, *values: int) -> bytearray:
    """A whole `union bpf_attr` that starts with `values` as `layout` says, for calls whose answer is read from it."""
    attr = bytearray(_ATTR_BYTES)
    layout.pack_into(attr, 0, *values)
    return attr


def address_of(buffer: bytearray) -> int:
    """The address of a bytearray's bytes; the caller keeps the bytearray alive while the kernel may use it."""
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
    """BPF_LINK_CREATE (Linux 5.7): hang a program on an fd or interface index; `extra` is the kind's own part."""
    return bpf(Command.LINK_CREATE, struct.pack("<IIII", program_fd, target, attach_type, flags) + extra)


def run_program(program_fd: int, *, packet: bytes = b"", context: bytes = b"", repeat: int = 0) -> tuple[int, int]:
    """Run a program once (or `repeat` times) in the kernel: its return value and nanoseconds for each run.

    Packet programs (socket filter, tc, XDP) need at least 14 bytes of `packet`; `SEC("syscall")` programs take only
    `context`, raw tracepoints their argument words in it.
    """
    data, ctx = bytearray(packet), bytearray(context)
    attr = bytearray(_ATTR_BYTES)
    struct.pack_into("<IIIIQQII", attr, 0, program_fd, 0, len(data), 0, address_of(data), 0, repeat, 0)
    struct.pack_into("<IIQQ", attr, 40, len(ctx), 0, address_of(ctx), 0)
    bpf(Command.PROG_TEST_RUN, attr)
    return struct.unpack_from("<I", attr, 4)[0], struct.unpack_from("<I", attr, 36)[0]


def object_info(fd: int, size: int) -> bytearray:
    """BPF_OBJ_GET_INFO_BY_FD: the first `size` bytes of bpf_prog_info, bpf_map_info or bpf_link_info."""
    info = bytearray(size)
    bpf(Command.OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, size, address_of(info)))
    return info


def perf_event_open(attr: bytes, *, pid: int = -1, cpu: int = -1) -> int:
    """perf_event_open(2), close-on-exec: `attr` is a struct perf_event_attr whose size field says its length."""
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
    """A struct perf_event_attr (PERF_ATTR_SIZE_VER5, 112 bytes; Linux 4.1).

    `period` counts events between samples, `frequency` asks for samples a second; `wakeup_bytes` wakes readers by
    watermark instead of by sample.
    """
    flags = (1 << 10 if frequency else 0) | (1 << 14 if wakeup_bytes else 0)  # freq, watermark
    attr = bytearray(112)
    struct.pack_into("<IIQQQQQ", attr, 0, event_type, 112, config, frequency or period, sample_type, read_format, flags)
    struct.pack_into("<I", attr, 48, wakeup_bytes)
    return bytes(attr)


def parse_cpu_list(text: str) -> list[int]:
    """The kernel's CPU list format (`0-3,8`) as numbers."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def online_cpus() -> Sequence[int]:
    """The CPUs that run now; events can be opened on these."""
    return parse_cpu_list(Path("/sys/devices/system/cpu/online").read_text())


def possible_cpus() -> int:
    """How many values a per-CPU map entry has."""
    return parse_cpu_list(Path("/sys/devices/system/cpu/possible").read_text())[-1] + 1
