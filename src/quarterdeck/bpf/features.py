"""The eBPF features of this host's kernel and of this process, found by trial and not from version numbers.

Each feature is one small check that loads a program of two instructions, creates a map or reads a file, and states what
does not work without it. Nothing stays loaded or attached, and no function raises an error.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from quarterdeck.bpf import capabilities, libbpf, stats, syscall
from quarterdeck.bpf.attach import cgroup, kprobe, tracefs
from quarterdeck.bpf.errors import BpfError, SyscallError
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.uapi import AttachType, Command, MapType, ProgramType

_SO_ATTACH_BPF = 50
_BPF_LOOP = 181  # the helper's number
#: what does not work without each capability
_CAPABILITIES = {
    "CAP_BPF": "no eBPF program or map can be loaded",
    "CAP_PERFMON": "no tracing program: no tracepoints, probes, stack samples",
    "CAP_NET_ADMIN": "no tc, XDP, cgroup or netfilter program",
    "CAP_NET_RAW": "no socket filter",
    "CAP_SYS_ADMIN": "no accounting of each module's kernel time, and no loading at all before Linux 5.8",
    "CAP_SYS_PTRACE": "processes of other users cannot be looked into: no symbols for their stacks",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature that a host has or lacks."""

    name: str
    ok: bool
    #: what was found
    detail: str
    #: what does not work without it
    costs: str


class _Lacking(BpfError):
    """A check found that a feature is missing."""


def survey() -> list[Feature]:
    """Return every feature, in a useful order. It takes some milliseconds."""
    return [_judge(name, costs, check) for name, costs, check in _CHECKS]


#: without one of these, none of our programs can run
_ESSENTIAL = frozenset({"libbpf", "kernel BTF", "raw_tp"})


def refusal(features: Sequence[Feature]) -> str:
    """Return why no program can run on a host with these features; empty when programs can run."""
    missing = [feature for feature in features if feature.name in _ESSENTIAL and not feature.ok]
    if missing and (lacking := capabilities.missing_for_loading()):
        return f"The process (user {os.geteuid()}) lacks {lacking}, which root has and a service can be given."
    return f"{missing[0].name}: {missing[0].detail}" if missing else ""


def _judge(name: str, costs: str, check: Callable[[], str]) -> Feature:
    try:
        return Feature(name, ok=True, detail=check(), costs=costs)
    except (BpfError, OSError, ValueError) as error:
        return Feature(name, ok=False, detail=str(error), costs=costs)


# -- programs of two instructions -----------------------------------------------------------------------------------


def _instruction(code: int, *, registers: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, registers, 0, value)


def _returning(value: int) -> bytes:
    return _instruction(0xB7, value=value) + _instruction(0x95)  # r0 = value; exit


@contextmanager
def _loaded(kind: ProgramType, returns: int = 0, *, attach_type: int = 0, target: str = "") -> Generator[int]:
    """Load a program and return its fd.

    `target` is the attach target of a tracing program, found by name in the kernel's BTF.
    """
    btf_id = libbpf.call("libbpf_find_vmlinux_btf_id", target.encode(), attach_type) if target else 0
    fd = syscall.load_program(kind, _returning(returns), attach_type=attach_type, attach_btf_id=btf_id)
    try:
        yield fd
    finally:
        os.close(fd)


def _loads(kind: ProgramType, returns: int = 0, attach_type: int = 0) -> Callable[[], str]:
    def check() -> str:
        with _loaded(kind, returns, attach_type=attach_type):
            return "loads"

    return check


def _traces(kind: ProgramType, attach_type: AttachType, target: str) -> Callable[[], str]:
    def check() -> str:
        with _loaded(kind, attach_type=attach_type, target=target) as program:
            os.close(syscall.bpf(Command.RAW_TRACEPOINT_OPEN, struct.pack("<QI", 0, program)))
            return "loads and attaches"

    return check


# -- the checks -----------------------------------------------------------------------------------------------------


def _kernel() -> str:
    release = os.uname().release
    major, minor = (int(part) for part in release.split("-")[0].split(".")[:2])
    if (major, minor) < (5, 8):
        raise _Lacking(f"Linux {release}; ring buffers and CAP_BPF came with 5.8")
    return f"Linux {release} on {os.uname().machine}"


def _btf() -> str:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.exists():
        raise _Lacking(f"{path} is missing; the kernel needs CONFIG_DEBUG_INFO_BTF=y")
    return f"{path}, {path.stat().st_size >> 10} KiB"


def _libbpf() -> str:
    return f"libbpf {libbpf.version()}"


def _has_capability(name: str) -> Callable[[], str]:
    def check() -> str:
        held = capabilities.held()
        if name in held:
            return "held"
        if name in capabilities.LOADING and "CAP_SYS_ADMIN" in held:
            return "covered by CAP_SYS_ADMIN"
        raise _Lacking(f"not held by this process (user {os.geteuid()})")

    return check


def _sysctl(name: str, judge: Callable[[int], str]) -> Callable[[], str]:
    return lambda: judge(int(Path("/proc/sys", name).read_text()))


def _unprivileged(value: int) -> str:
    return {0: "0: any user may load some programs", 1: "1: only privileged processes, until reboot"}.get(
        value, f"{value}: only privileged processes"
    )


def _paranoid(value: int) -> str:
    return f"{value}: " + ("any user may sample" if value < 0 else "processes with CAP_PERFMON may sample")


def _tracefs() -> str:
    place = tracefs.mounted()
    if place:
        return f"mounted at {place}"
    try:
        with tracefs.private():
            return "not mounted; this process may open a private one"
    except SyscallError as error:
        raise _Lacking(f"not mounted or not readable here, and this process may not open one ({error})") from error


def _cgroup() -> str:
    place = cgroup.hierarchy()
    if place is None:
        raise _Lacking("no cgroup v2 hierarchy is mounted")
    with _loaded(ProgramType.CGROUP_SKB, 1):
        return f"loads; hierarchy at {place}"


def _raw_tracepoint() -> str:
    name = bytearray(b"sched_process_exec\0")
    with _loaded(ProgramType.RAW_TRACEPOINT) as program:
        os.close(syscall.bpf(Command.RAW_TRACEPOINT_OPEN, struct.pack("<QI", syscall.address_of(name), program)))
        return "loads and attaches"


def _kprobe() -> str:
    with _loaded(ProgramType.KPROBE):
        if not kprobe.kernel_has_kprobes():
            raise _Lacking("programs load, but this kernel has no kprobes to attach them to (CONFIG_KPROBES)")
        return "loads; the kernel has kprobes"


def _uprobe() -> str:
    with _loaded(ProgramType.KPROBE):
        if not Path("/sys/bus/event_source/devices/uprobe/type").exists():
            raise _Lacking("programs load, but this kernel has no uprobes to attach them to (CONFIG_UPROBE_EVENTS)")
        return "loads; the kernel has uprobes"


def _perf_event() -> str:
    event = syscall.perf_event_open(syscall.perf_attr(syscall.PERF_TYPE_SOFTWARE, 0, frequency=1), cpu=0)
    try:
        with _loaded(ProgramType.PERF_EVENT):
            return "loads; cpu-clock can be sampled"
    finally:
        os.close(event)


def _hardware_counters() -> str:
    try:
        os.close(syscall.perf_event_open(syscall.perf_attr(syscall.PERF_TYPE_HARDWARE, 0, frequency=1), cpu=0))
    except SyscallError as error:
        if error.errno in {errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV}:
            raise _Lacking("this machine shows no cycle counter (usual in virtual machines)") from error
        raise
    return "cpu-cycles can be sampled"


def _tcx() -> str:
    with _loaded(ProgramType.SCHED_CLS) as program:
        try:
            os.close(syscall.create_link(program, 0, AttachType.TCX_INGRESS))
        except SyscallError as error:
            if error.errno != errno.ENODEV:  # the command is known, and only the interface is missing
                raise
    return "attaches"


def _socket_filter() -> str:
    with _loaded(ProgramType.SOCKET_FILTER) as program, closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program)
        return "loads and attaches"


def _ring_buffer() -> str:
    os.close(syscall.create_map(MapType.RINGBUF, key_size=0, value_size=0, max_entries=4096))
    return "can be created"


def _batch() -> str:
    fd = syscall.create_map(MapType.HASH, key_size=4, value_size=8, max_entries=4)
    try:
        KernelMap(fd).update(b"1234", b"12345678")
        attr = syscall.new_attr(struct.Struct("=QQQQII"), 0, 0, 0, 0, 0, fd)
        syscall.bpf(Command.MAP_LOOKUP_BATCH, attr)
    finally:
        os.close(fd)
    return "understood"


def _loop() -> str:
    code = _instruction(0x85, value=_BPF_LOOP) + _returning(0)  # called without arguments
    try:
        os.close(syscall.load_program(ProgramType.SOCKET_FILTER, code))
    except SyscallError as error:
        if error.errno == errno.EINVAL:
            raise _Lacking("this kernel does not know the helper (Linux 5.17)") from error
        if error.errno != errno.EACCES:  # EACCES: the helper is known, and only the arguments are missing
            raise
    return "known"


def _accounting() -> str:
    with stats.counting():
        return "can be switched on"


_MODULES = "no module can run"
_CHECKS: list[tuple[str, str, Callable[[], str]]] = [
    ("kernel", "modules need ring buffers and CO-RE; older kernels load few of them", _kernel),
    ("kernel BTF", "programs cannot find the kernel's structures: " + _MODULES, _btf),
    ("libbpf", _MODULES, _libbpf),
    *((name, costs, _has_capability(name)) for name, costs in _CAPABILITIES.items()),
    ("unprivileged_bpf_disabled", "nothing", _sysctl("kernel/unprivileged_bpf_disabled", _unprivileged)),
    ("perf_event_paranoid", "nothing", _sysctl("kernel/perf_event_paranoid", _paranoid)),
    ("tracefs", "programs on static tracepoints cannot attach; tp_btf and raw_tp can", _tracefs),
    ("ring buffer", "modules that use one cannot load; perf buffers still can", _ring_buffer),
    ("batch map reads", "large maps are read entry by entry, some ten times slower", _batch),
    ("bpf_loop", "programs with long loops cannot load", _loop),
    ("raw_tp", "no programs on raw tracepoints", _raw_tracepoint),
    (
        "tp_btf",
        "no typed tracepoints, which most built-in modules use",
        _traces(ProgramType.TRACING, AttachType.TRACE_RAW_TP, "sched_process_exec"),
    ),
    ("tracepoint", "no programs on static tracepoints", _loads(ProgramType.TRACEPOINT)),
    ("kprobe", "no programs on kernel functions by kprobe", _kprobe),
    (
        "fentry",
        "no programs on kernel functions by fentry or fexit",
        _traces(ProgramType.TRACING, AttachType.TRACE_FENTRY, "vfs_read"),
    ),
    ("lsm", "no programs on security hooks", _traces(ProgramType.LSM, AttachType.LSM_MAC, "file_open")),
    ("uprobe", "no programs on functions and USDT markers of user programs", _uprobe),
    ("perf_event", "no CPU profiles", _perf_event),
    ("hardware counters", "CPU profiles use the clock instead of cycles", _hardware_counters),
    ("tc", "no programs on packets of an interface", _loads(ProgramType.SCHED_CLS)),
    ("tcx", "tc programs fall back to clsact filters, which outlive a killed agent", _tcx),
    ("xdp", "no programs on packets before the stack", _loads(ProgramType.XDP, 2)),
    ("cgroup", "no programs on the traffic and sockets of cgroups", _cgroup),
    ("sock_ops", "no programs on TCP's own events", _loads(ProgramType.SOCK_OPS, 1, AttachType.CGROUP_SOCK_OPS)),
    ("socket filter", "no programs on raw sockets", _socket_filter),
    ("netfilter", "no programs on netfilter hooks", _loads(ProgramType.NETFILTER, 1, AttachType.NETFILTER)),
    ("program accounting", "the kernel time of modules is unknown", _accounting),
]
