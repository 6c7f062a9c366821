"""Programs on packets: tcx, XDP, socket filters and netfilter hooks, each held by an fd that the kernel honours.

When this process dies, so do they. What cannot be held by an fd, the clsact filters of kernels before 6.6, is in
clsact.py.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach import clsact, interfaces
from quarterdeck.bpf.attach.probes import Netfilter, SocketFilter, Tc, Xdp
from quarterdeck.bpf.errors import AttachError, SyscallError
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import AttachType

_XDP_GENERIC = 1 << 1  # XDP_FLAGS_SKB_MODE
_ETH_P_ALL = 0x0003
_SO_ATTACH_BPF = 50
_SMALLEST_RECEIVE_BYTES = 2048  # nobody reads these sockets; the program has seen the packet before it is queued
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_HOOKS = {"pre_routing": 0, "local_in": 1, "forward": 2, "local_out": 3, "post_routing": 4}


def attach_tc(program: Program, probe: Tc) -> Link:
    """Hang on one direction of an interface, by tcx or, where the kernel has none, by a clsact filter.

    What the program returns counts either way: TC_ACT_UNSPEC (-1) lets the programs after it see the packet too.
    """
    kind = AttachType.TCX_EGRESS if probe.direction == "egress" else AttachType.TCX_INGRESS

    def hang(index: int, undo: ExitStack) -> str:
        try:
            undo.callback(os.close, syscall.create_link(program.fd, index, kind))
        except SyscallError as error:
            if error.errno != errno.EINVAL:
                raise
            undo.callback(clsact.hang(program, index, egress=probe.direction == "egress"))
            return "clsact"
        return "tcx"

    return _on_each(program, f"{probe.direction} of", probe.interface, hang)


def attach_xdp(program: Program, probe: Xdp) -> Link:
    """Hang before the stack: in the driver, or generically where the driver cannot."""

    def hang(index: int, undo: ExitStack) -> str:
        try:
            undo.callback(os.close, syscall.create_link(program.fd, index, AttachType.XDP))
        except SyscallError as error:
            if error.errno in {errno.EBUSY, errno.EPERM}:
                raise
            undo.callback(os.close, syscall.create_link(program.fd, index, AttachType.XDP, flags=_XDP_GENERIC))
            return "generic xdp"
        return "xdp"

    return _on_each(program, "on", probe.interface, hang)


def attach_socket_filter(program: Program, probe: SocketFilter) -> Link:
    """See a copy of each packet through a raw socket."""

    def hang(index: int, undo: ExitStack) -> str:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        undo.callback(raw.close)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALLEST_RECEIVE_BYTES)
        raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program.fd)
        raw.bind((socket.if_indextoname(index), _ETH_P_ALL))
        return "socket filter"

    return _on_each(program, "on", probe.interface, hang)


def attach_netfilter(program: Program, probe: Netfilter) -> Link:
    """Hang on a netfilter hook; priorities order hooks, lowest first, and each may be taken only once."""
    where = f"netfilter {probe.family}:{probe.hook} priority {probe.priority}"
    hook = struct.pack("<IIiI", _FAMILIES[probe.family], _HOOKS[probe.hook], probe.priority, 0)
    try:
        return Link.of_fds(program, where, syscall.create_link(program.fd, 0, AttachType.NETFILTER, extra=hook))
    except SyscallError as error:
        raise AttachError(f"program {program.name!r} cannot hang on {where}: {error}") from error


def _on_each(program: Program, preposition: str, interface: str, hang: Callable[[int, ExitStack], str]) -> Link:
    """One link over the chosen interfaces: all of them or, when one refuses, none."""
    places: list[str] = []
    with ExitStack() as undo:
        for name, index in interfaces.chosen(interface):
            try:
                places.append(f"{hang(index, undo)} {preposition} {name}")
            except (SyscallError, OSError) as error:
                hint = "; another program is already there" if getattr(error, "errno", 0) == errno.EBUSY else ""
                raise AttachError(
                    f"program {program.name!r} cannot hang {preposition} {name}: {error}{hint}"
                ) from error
        return Link(program, ", ".join(places), undo.pop_all())
