"""Attachment to kernel functions by name: kprobe, kretprobe, kprobe.multi, ksyscall. libbpf makes the calls.

On kernels with BTF, tp_btf and fentry are cheaper and safer; kprobes are for kernels that refuse those.
"""

from __future__ import annotations

from pathlib import Path

from quarterdeck.bpf import libbpf
from quarterdeck.bpf.attach import tracefs
from quarterdeck.bpf.attach.probes import Kprobe, KprobeMulti, Ksyscall
from quarterdeck.bpf.errors import PASSING, AttachError, LibbpfError, errno_text
from quarterdeck.bpf.libbpf import Argument
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program

_PMU = Path("/sys/bus/event_source/devices/kprobe/type")


def kernel_has_kprobes() -> bool:
    """Return whether this kernel was built with kprobes, as a perf event source or in tracefs."""
    root = tracefs.mounted()
    return _PMU.exists() or (root is not None and (root / "kprobe_events").exists())


def attach_kprobe(program: Program, probe: Kprobe) -> Link:
    """Attach to the entry or the return of one kernel function."""
    opts = libbpf.options("bpf_kprobe_opts", offset=probe.offset, retprobe=probe.returns)
    where = f"{'kretprobe' if probe.returns else 'kprobe'} {probe.function}" + (
        f"+{probe.offset}" if probe.offset else ""
    )
    return _attach(program, where, "bpf_program__attach_kprobe_opts", probe.function.encode(), opts)


def attach_kprobe_multi(program: Program, probe: KprobeMulti) -> Link:
    """Attach to all kernel functions that match."""
    opts = libbpf.options("bpf_kprobe_multi_opts", retprobe=probe.returns)
    where = f"{'kretprobe' if probe.returns else 'kprobe'}.multi {probe.pattern}"
    return _attach(program, where, "bpf_program__attach_kprobe_multi_opts", probe.pattern.encode(), opts)


def attach_ksyscall(program: Program, probe: Ksyscall) -> Link:
    """Attach to the kernel function of a system call."""
    opts = libbpf.options("bpf_ksyscall_opts", retprobe=probe.returns)
    where = f"{'kretsyscall' if probe.returns else 'ksyscall'} {probe.syscall}"
    return _attach(program, where, "bpf_program__attach_ksyscall", probe.syscall.encode(), opts)


def _attach(program: Program, where: str, function: str, *arguments: Argument) -> Link:
    if not kernel_has_kprobes():
        raise AttachError(
            f"program {program.name!r} cannot be attached to {where}: this kernel has no kprobes (CONFIG_KPROBES); "
            f"tracepoints and tp_btf work without",
            lasting=True,
        )
    try:
        return Link.of_libbpf(program, where, libbpf.make(function, program.pointer, *arguments))
    except LibbpfError as error:
        reason = f"program {program.name!r} cannot be attached to {where} ({errno_text(error.errno)})"
        raise AttachError(reason, error.log, lasting=error.errno not in PASSING) from error
