"""The places to which a program can attach: one small record for each family.

A manifest's `[[probe]]` or a program's section name is translated to one of these. They hold no fds and have no
behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tracepoint:
    """A static tracepoint, read through perf. It needs tracefs to find its number."""

    category: str
    name: str


@dataclass(frozen=True, slots=True)
class RawTracepoint:
    """A tracepoint without perf (Linux 4.17). It needs no mounts."""

    name: str


@dataclass(frozen=True, slots=True)
class Traced:
    """tp_btf, fentry, fexit, fmod_ret, lsm.

    The place is fixed when the program loads, so `target` must be known before.
    """

    #: kernel function, event or hook; empty: that of the section
    target: str = ""
    #: an AttachType, for example to make a program whose section has no target an fexit
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
    """The kernel function of a system call, by the name that this architecture gives it."""

    syscall: str
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Uprobe:
    """A place in a program or library: a symbol, an offset from it, or a file offset."""

    #: a path, a library's name (`libc`, `libssl.so.3`), or a program's name found in PATH
    binary: str
    symbol: str = ""
    offset: int = 0
    returns: bool = False
    #: only this process; None: every process
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class UprobeMulti:
    """Every symbol of a binary that matches a pattern. A plain symbol works with older libbpf too."""

    binary: str
    pattern: str
    returns: bool = False
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Usdt:
    """A USDT marker in a binary (`DTRACE_PROBE`)."""

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
    #: only while this process runs; None: any process
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Tc:
    """Packets of an interface after the driver, by tcx if the kernel has it (Linux 6.6), else by a clsact filter."""

    #: a name; empty: every interface that is up, except loopback
    interface: str = ""
    direction: Literal["ingress", "egress"] = "ingress"


@dataclass(frozen=True, slots=True)
class Xdp:
    """Packets of an interface before the network stack, in the driver if it supports that, else generically."""

    interface: str = ""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """Packets, connects, sockets or socket operations of a cgroup's processes, depending on the program's type."""

    #: a folder of the v2 hierarchy, absolute or below its root; None: the root
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class SocketFilter:
    """A copy of each packet of an interface, by a raw socket of this process."""

    interface: str = ""


@dataclass(frozen=True, slots=True)
class Netfilter:
    """A netfilter hook (Linux 6.4)."""

    family: Literal["ipv4", "ipv6"] = "ipv4"
    hook: Literal["pre_routing", "local_in", "forward", "local_out", "post_routing"] = "local_in"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Iterator:
    """A kernel list that is walked when it is read (`iter/task`, `iter/tcp`); see IteratorLink.read."""


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
