"""Where a program can hang: one small record for each family.

These are what a manifest's `[[probe]]` or a program's section name come down to. They hold no fds and do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tracepoint:
    """A static tracepoint, read through perf: needs tracefs to learn its number."""

    category: str
    name: str


@dataclass(frozen=True, slots=True)
class RawTracepoint:
    """A tracepoint without perf between (Linux 4.17); needs no mounts."""

    name: str


@dataclass(frozen=True, slots=True)
class Traced:
    """tp_btf, fentry, fexit, fmod_ret, lsm: fixed when the program loads, so `target` must be known before."""

    #: The kernel function, event or hook; empty keeps what the section says.
    target: str = ""
    #: An AttachType, to make (say) an fexit of a program whose section names nothing.
    attach_type: int | None = None


@dataclass(frozen=True, slots=True)
class Kprobe:
    """The entry of a kernel function (or `offset` bytes into it), or its return."""

    function: str
    offset: int = 0
    returns: bool = False


@dataclass(frozen=True, slots=True)
class KprobeMulti:
    """Every kernel function that matches a pattern of `*` and `?` (Linux 5.18)."""

    pattern: str
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Ksyscall:
    """The kernel function behind a system call, whatever this architecture calls it."""

    syscall: str
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Uprobe:
    """A place in a program or library: a symbol, an offset from it, or a bare file offset."""

    #: A path, a library's name (`libc`, `libssl.so.3`), or a program's name found in PATH.
    binary: str
    symbol: str = ""
    offset: int = 0
    returns: bool = False
    #: Only this process; None is every process.
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class UprobeMulti:
    """Every symbol of a binary that matches a pattern; a plain symbol needs no newer libbpf."""

    binary: str
    pattern: str
    returns: bool = False
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Usdt:
    """A marker that the binary's author left (`DTRACE_PROBE`)."""

    binary: str
    provider: str
    name: str
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class PerfEvent:
    """Samples of a counter on every online CPU: `frequency` in Hz, or one each `period` counts (ns for cpu-clock)."""

    event: str = "cpu-clock"
    frequency: int = 0
    period: int = 0
    #: Only while this process runs; None is whatever runs.
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Tc:
    """Packets of an interface after the driver: tcx where the kernel has it (Linux 6.6), else a clsact filter."""

    #: A name; empty is every interface that is up, except loopback.
    interface: str = ""
    direction: Literal["ingress", "egress"] = "ingress"


@dataclass(frozen=True, slots=True)
class Xdp:
    """Packets of an interface before the stack: in the driver where it can, else the generic way."""

    interface: str = ""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """Whatever the program's type sees of a cgroup's processes: packets, connects, sockets, socket operations."""

    #: A folder of the v2 hierarchy, absolute or below its root; None is the root.
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class SocketFilter:
    """A copy of each packet of an interface, by a raw socket of our own."""

    interface: str = ""


@dataclass(frozen=True, slots=True)
class Netfilter:
    """A netfilter hook (Linux 6.4)."""

    family: Literal["ipv4", "ipv6"] = "ipv4"
    hook: Literal["pre_routing", "local_in", "forward", "local_out", "post_routing"] = "local_in"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Iterator:
    """A kernel list, walked when it is read (`iter/task`, `iter/tcp`): see IteratorLink.read."""


Probe = (
    Tracepoint
    | RawTracepoint
    | Traced
    | Kprobe
    | KprobeMulti
    | Ksyscall
    | Uprobe
    | UprobeMulti
    | Usdt
    | PerfEvent
    | Tc
    | Xdp
    | Cgroup
    | SocketFilter
    | Netfilter
    | Iterator
)
