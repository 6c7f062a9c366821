"""Attachment to tracepoints and by the kernel's BTF: tracepoint, raw_tp, tp_btf, fentry, fexit, fmod_ret, lsm."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach import tracefs
from quarterdeck.bpf.attach.probes import RawTracepoint, Traced, Tracepoint
from quarterdeck.bpf.errors import PASSING, AttachError, NotAttachable, SyscallError
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import AttachType, Command

_KINDS: dict[int, str] = {
    AttachType.TRACE_RAW_TP: "tp_btf",
    AttachType.TRACE_FENTRY: "fentry",
    AttachType.TRACE_FEXIT: "fexit",
    AttachType.MODIFY_RETURN: "fmod_ret",
    AttachType.LSM_MAC: "lsm",
}
_PERF_EVENT_IOC_ENABLE = 0x2400
_PERF_EVENT_IOC_SET_BPF = 0x40042408


def attach_tracepoint(program: Program, probe: Tracepoint, *, root: Path | None = None) -> Link:
    """Attach to a static tracepoint. `root` is the folder of a tracefs that is not mounted."""
    where = f"tracepoint {probe.category}:{probe.name}"
    number = tracepoint_id(probe, root or tracefs.mounted())
    event = syscall.perf_event_open(syscall.perf_attr(syscall.PERF_TYPE_TRACEPOINT, number, period=1), cpu=0)
    return Link.of_fds(program, where, *perf_link(program, event, where))


def tracepoint_id(probe: Tracepoint, root: Path | None) -> int:
    """Return the kernel's number of a tracepoint."""
    if root is None:
        btf_name = "_".join(probe.name.split("_", 2)[:2]) if probe.category == "syscalls" else probe.name
        raise NotAttachable(
            f"tracepoint {probe.category}:{probe.name} needs tracefs, which is not mounted or not readable here: "
            f"mount it with `mount -t tracefs nodev /sys/kernel/tracing`, or use SEC("
            f'"tp_btf/{btf_name}"), which needs no mount'
        )
    try:
        return int((root / "events" / probe.category / probe.name / "id").read_text())
    except FileNotFoundError:
        raise AttachError(f"this kernel has no tracepoint {probe.category}:{probe.name}", lasting=True) from None
    except PermissionError:
        raise AttachError(f"{root} may only be read by root (or with CAP_DAC_READ_SEARCH); run the agent so") from None


def perf_link(program: Program, event: int, where: str) -> list[int]:
    """Attach a program to an open perf event, and return the fds to close, in the order in which they were opened.

    They include a link if the kernel has links for perf events (Linux 5.15); otherwise the program belongs to the
    event. Close `event` and raise `AttachError` when the kernel refuses.
    """
    fds = [event]
    try:
        try:
            fds.append(syscall.create_link(program.fd, event, AttachType.PERF_EVENT))
        except SyscallError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.ioctl(event, _PERF_EVENT_IOC_SET_BPF, program.fd)
        fcntl.ioctl(event, _PERF_EVENT_IOC_ENABLE, 0)
    except (SyscallError, OSError) as error:
        for fd in fds:
            os.close(fd)
        raise AttachError(f"program {program.name!r} cannot be attached to {where}: {error}") from error
    return fds


def attach_raw_tracepoint(program: Program, probe: RawTracepoint) -> Link:
    """Attach to a tracepoint by name."""
    return Link.of_fds(program, f"raw tracepoint {probe.name}", _open(program, probe.name.encode() + b"\0"))


def attach_traced(program: Program, probe: Traced) -> Link:
    """Attach to the place that was fixed at load time."""
    target = probe.target or program.target or program.section.partition("/")[2]
    kind = _KINDS.get(program.attach_type, "trace")
    return Link.of_fds(program, f"{kind} {target}", _open(program, b""))


def _open(program: Program, name: bytes) -> int:
    kept = bytearray(name)
    try:
        return syscall.bpf(Command.RAW_TRACEPOINT_OPEN, struct.pack("<QI", syscall.address_of(kept), program.fd))
    except SyscallError as error:
        if name and error.errno == errno.ENOENT:
            raise AttachError(f"this kernel has no raw tracepoint {name[:-1].decode()}", lasting=True) from error
        lasting = error.errno not in PASSING
        raise AttachError(f"program {program.name!r} cannot be attached: {error}", lasting=lasting) from error
