"""Attachment to user space: uprobe, uretprobe, uprobe.multi and USDT markers, system-wide or in one process."""

from __future__ import annotations

import errno

from quarterdeck.bpf import libbpf
from quarterdeck.bpf.attach.binaries import find_binary
from quarterdeck.bpf.attach.probes import Uprobe, UprobeMulti, Usdt
from quarterdeck.bpf.errors import AttachError, LibbpfError, NotAttachable, errno_text
from quarterdeck.bpf.libbpf import Argument
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import AttachType

_MULTI = "bpf_program__attach_uprobe_multi"  # libbpf 1.3
_USDT = "bpf_program__attach_usdt"
_EVERY_PROCESS = -1


def attach_uprobe(program: Program, probe: Uprobe) -> Link:
    """Attach to a symbol, to `offset` bytes after it, or to a file offset. libbpf finds the symbol in the file."""
    if not probe.symbol and not probe.offset:
        raise NotAttachable(f"program {program.name!r}: a uprobe needs a symbol or an offset in {probe.binary}")
    path = find_binary(probe.binary)
    opts = libbpf.options("bpf_uprobe_opts", retprobe=probe.returns, func_name=probe.symbol.encode() or None)
    place = probe.symbol + (f"+{probe.offset:#x}" if probe.offset else "")
    where = f"{'uretprobe' if probe.returns else 'uprobe'} {path}:{place}" + _only(probe.pid)
    return _attach(
        program,
        where,
        "bpf_program__attach_uprobe_opts",
        _EVERY_PROCESS if probe.pid is None else probe.pid,
        str(path).encode(),
        probe.offset,
        opts,
    )


def attach_uprobe_multi(program: Program, probe: UprobeMulti) -> Link:
    """Attach to every symbol that matches. A plain symbol works with every libbpf."""
    if program.attach_type != AttachType.TRACE_UPROBE_MULTI:
        if any(wild in probe.pattern for wild in "*?"):
            raise NotAttachable(
                f"program {program.name!r}: the pattern {probe.pattern!r} needs libbpf 1.3, this is "
                f"{libbpf.version()}; name the symbol"
            )
        return attach_uprobe(program, Uprobe(probe.binary, probe.pattern, returns=probe.returns, pid=probe.pid))
    path = find_binary(probe.binary)
    opts = libbpf.options("bpf_uprobe_multi_opts", retprobe=probe.returns)
    where = f"uprobe.multi {path}:{probe.pattern}" + _only(probe.pid)
    pid = _EVERY_PROCESS if probe.pid is None else probe.pid
    return _attach(program, where, _MULTI, pid, str(path).encode(), probe.pattern.encode(), opts)


def attach_usdt(program: Program, probe: Usdt) -> Link:
    """Attach to a USDT marker. libbpf reads its place and arguments from the binary's notes."""
    path = find_binary(probe.binary)
    where = f"usdt {path}:{probe.provider}:{probe.name}" + _only(probe.pid)
    pid = _EVERY_PROCESS if probe.pid is None else probe.pid
    place = (str(path).encode(), probe.provider.encode(), probe.name.encode())
    return _attach(program, where, _USDT, pid, *place, None)


def _only(pid: int | None) -> str:
    return "" if pid is None else f" in process {pid}"


def _attach(program: Program, where: str, function: str, *arguments: Argument) -> Link:
    try:
        return Link.of_libbpf(program, where, libbpf.make(function, program.pointer, *arguments))
    except LibbpfError as error:
        why = "the file has no such place" if error.errno == errno.ENOENT else errno_text(error.errno)
        if (function, error.errno, arguments[0]) == (_USDT, errno.ESRCH, _EVERY_PROCESS):
            why = "it does not include <bpf/usdt.bpf.h>"  # libbpf logs this only for an object's first program
        reason = f"program {program.name!r} cannot be attached to {where}: {why}"
        raise AttachError(reason, error.log) from error
