"""Structs packed for the kernel, and the kernel's numbers."""

from __future__ import annotations

import errno
import struct

import pytest

from quarterdeck.bpf.errors import SyscallError, errno_text
from quarterdeck.bpf.object import ring_bytes
from quarterdeck.bpf.syscall import bpf, parse_cpu_list, perf_attr
from quarterdeck.bpf.uapi import Command, MapType


@pytest.mark.parametrize(
    ("text", "cpus"), [("0\n", [0]), ("0-3\n", [0, 1, 2, 3]), ("0-1,4,6-7", [0, 1, 4, 6, 7]), ("2,5", [2, 5])]
)
def test_cpu_lists(text: str, cpus: list[int]) -> None:
    assert parse_cpu_list(text) == cpus


def test_perf_attr_layout() -> None:
    attr = perf_attr(1, 10, frequency=99, sample_type=1 << 10, read_format=16, wakeup_bytes=4096)
    kind, size, config, rate, sample_type, read_format, flags, wakeup = struct.unpack_from("=IIQQQQQI", attr)
    assert (kind, size, config, rate) == (1, len(attr), 10, 99)
    assert (sample_type, read_format, wakeup) == (1 << 10, 16, 4096)
    assert flags == 1 << 10 | 1 << 14
    assert struct.unpack_from("=Q", perf_attr(1, 0, period=7), 16)[0] == 7


def test_refused_calls_name_the_call_and_the_error() -> None:
    with pytest.raises(SyscallError, match=r"bpf\(OBJ_GET_INFO_BY_FD\): E") as caught:
        bpf(Command.OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", 1 << 30, 0, 0))
    assert caught.value.errno in {errno.EBADF, errno.EBADFD, errno.EPERM}
    assert errno_text(errno.EPERM) == "EPERM, Operation not permitted"


def test_numbers_younger_than_this_file_stay_usable() -> None:
    assert MapType(12345).name == "UNKNOWN_12345"
    assert MapType(12345) == 12345
    assert MapType.PERCPU_HASH.per_cpu
    assert not MapType.HASH.per_cpu


@pytest.mark.parametrize(("wanted", "given"), [(1, 4096), (4096, 4096), (4097, 8192), (1 << 20, 1 << 20)])
def test_ring_sizes_are_what_the_kernel_accepts(wanted: int, given: int) -> None:
    assert ring_bytes(wanted) == given
