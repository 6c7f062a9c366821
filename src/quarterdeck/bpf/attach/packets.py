"""Attachment to packets: tcx, XDP, socket filters and netfilter hooks, each held by an fd.

The kernel detaches them when this process ends. clsact filters of kernels before 6.6, which no fd holds, are in
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
_SMALLEST_RECEIVE_BYTES = 2048  # these sockets are never read; the program runs before the packet is queued
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_HOOKS = {"pre_routing": 0, "local_in": 1, "forward": 2, "local_out": 3, "post_routing": 4}


def attach_tc(program: Program, probe: Tc) -> Link:
    """Attach to one direction of an interface by tcx, or by a clsact filter if the kernel has no tcx.

    The return value has the same effect in both cases: TC_ACT_UNSPEC (-1) passes the packet to the programs after it.
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
    """Attach before the network stack: in the driver, or generically if the driver does not support it."""

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
    """Attach to a raw socket that receives a copy of each packet."""

    def hang(index: int, undo: ExitStack) -> str:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        undo.callback(raw.close)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALLEST_RECEIVE_BYTES)
        raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program.fd)
        raw.bind((socket.if_indextoname(index), _ETH_P_ALL))
        return "socket filter"

    return _on_each(program, "on", probe.interface, hang)


def attach_netfilter(program: Program, probe: Netfilter) -> Link:
    """Attach to a netfilter hook. Priorities order hooks, lowest first, and each can be used only once."""
    where = f"netfilter {probe.family}:{probe.hook} priority {probe.priority}"
    hook = struct.pack("<IIiI", _FAMILIES[probe.family], _HOOKS[probe.hook], probe.priority, 0)
    try:
        return Link.of_fds(program, where, syscall.create_link(program.fd, 0, AttachType.NETFILTER, extra=hook))
    except SyscallError as error:
        raise AttachError(f"program {program.name!r} cannot be attached to {where}: {error}") from error


def _on_each(program: Program, preposition: str, interface: str, hang: Callable[[int, ExitStack], str]) -> Link:
    """Return one link for the chosen interfaces. If one refuses, attach to none."""
    places: list[str] = []
    with ExitStack() as undo:
        for name, index in interfaces.chosen(interface):
            try:
                places.append(f"{hang(index, undo)} {preposition} {name}")
            except (SyscallError, OSError) as error:
                hint = "; another program is already there" if getattr(error, "errno", 0) == errno.EBUSY else ""
                raise AttachError(f"program {program.name!r} cannot be attached to {name}: {error}{hint}") from error
        return Link(program, ", ".join(places), undo.pop_all())
