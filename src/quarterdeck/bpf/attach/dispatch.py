"""The choice of the family for a probe, and the requirements of a program for it.

`prepare` configures a program for its probe before the load, `attach` attaches it after the load. The link belongs to
the program (`program.links`) and is detached, at the latest, when its object is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quarterdeck.bpf.attach.cgroup import attach_cgroup
from quarterdeck.bpf.attach.iterator import attach_iterator
from quarterdeck.bpf.attach.kprobe import attach_kprobe, attach_kprobe_multi, attach_ksyscall
from quarterdeck.bpf.attach.packets import attach_netfilter, attach_socket_filter, attach_tc, attach_xdp
from quarterdeck.bpf.attach.probes import (
    Cgroup,
    Iterator,
    Kprobe,
    KprobeMulti,
    Ksyscall,
    Netfilter,
    PerfEvent,
    Probe,
    RawTracepoint,
    SocketFilter,
    Tc,
    Traced,
    Tracepoint,
    Uprobe,
    UprobeMulti,
    Usdt,
    Xdp,
)
from quarterdeck.bpf.attach.sampling import attach_perf_event
from quarterdeck.bpf.attach.section import ON_CGROUPS, probe_of
from quarterdeck.bpf.attach.tracing import attach_raw_tracepoint, attach_traced, attach_tracepoint
from quarterdeck.bpf.attach.uprobe import attach_uprobe, attach_uprobe_multi, attach_usdt
from quarterdeck.bpf.errors import NotAttachable
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import AttachType, ProgramType

#: probe → the accepted types of program (the first is set for a program without a type), and the function that attaches
#: it
_FAMILIES: dict[type[Probe], tuple[tuple[ProgramType, ...], Callable[[Program, Any], Link]]] = {
    Tracepoint: ((ProgramType.TRACEPOINT,), attach_tracepoint),
    RawTracepoint: ((ProgramType.RAW_TRACEPOINT, ProgramType.RAW_TRACEPOINT_WRITABLE), attach_raw_tracepoint),
    Traced: ((ProgramType.TRACING, ProgramType.LSM), attach_traced),
    Kprobe: ((ProgramType.KPROBE,), attach_kprobe),
    KprobeMulti: ((ProgramType.KPROBE,), attach_kprobe_multi),
    Ksyscall: ((ProgramType.KPROBE,), attach_ksyscall),
    Uprobe: ((ProgramType.KPROBE,), attach_uprobe),
    UprobeMulti: ((ProgramType.KPROBE,), attach_uprobe_multi),
    Usdt: ((ProgramType.KPROBE,), attach_usdt),
    PerfEvent: ((ProgramType.PERF_EVENT,), attach_perf_event),
    Tc: ((ProgramType.SCHED_CLS, ProgramType.SCHED_ACT), attach_tc),
    Xdp: ((ProgramType.XDP,), attach_xdp),
    Cgroup: (tuple(sorted(ON_CGROUPS)), attach_cgroup),
    SocketFilter: ((ProgramType.SOCKET_FILTER,), attach_socket_filter),
    Netfilter: ((ProgramType.NETFILTER,), attach_netfilter),
    Iterator: ((ProgramType.TRACING,), attach_iterator),
}

#: attach types that the kernel requires at load time for programs of these probes
_ATTACH_TYPES: dict[type[Probe], AttachType] = {
    KprobeMulti: AttachType.TRACE_KPROBE_MULTI,
    Netfilter: AttachType.NETFILTER,
}


def prepare(program: Program, probe: Probe) -> None:
    """Give the program, before the load, the type, attach type and target that `probe` needs.

    Raise `NotAttachable` when the program has another type.
    """
    if program.type is ProgramType.UNSPEC:
        program.type = _FAMILIES[type(probe)][0][0]
    if isinstance(probe, Traced):
        program.target = probe.target or program.target
        if probe.attach_type is not None:
            lsm = probe.attach_type == AttachType.LSM_MAC
            program.type = ProgramType.LSM if lsm else ProgramType.TRACING
            program.attach_type = probe.attach_type
    elif isinstance(probe, Kprobe | Uprobe):
        program.attach_type = 0  # one place instead of many, even if SEC() names the multi variant
    elif kind := _ATTACH_TYPES.get(type(probe)):
        program.attach_type = kind
    _check(program, probe)


def attach(program: Program, probe: Probe | None = None, *, tracefs: Path | None = None) -> Link:
    """Attach a loaded program to the place of `probe`, or without one, of its section.

    `tracefs` is the folder of tracepoints when tracefs is not mounted (see tracefs.private). Raise `NotAttachable` when
    no place is given, `AttachError` when the kernel refuses.
    """
    probe = probe or probe_of(program)
    _check(program, probe)
    if isinstance(probe, Tracepoint):
        return attach_tracepoint(program, probe, root=tracefs)
    return _FAMILIES[type(probe)][1](program, probe)


def _check(program: Program, probe: Probe) -> None:
    takes, _ = _FAMILIES[type(probe)]
    if program.type not in takes:
        raise NotAttachable(
            f'program {program.name!r} (SEC("{program.section}")) is of type {program.type.name.lower()}, but a '
            f"{type(probe).__name__.lower()} probe takes {' or '.join(each.name.lower() for each in takes)}",
            lasting=True,
        )
