"""Classic traffic-control filters, for kernels without tcx (before Linux 6.6). libbpf makes the netlink calls.

A filter is not held by an fd and stays when this process is killed, so filters are used only without an alternative.
The clsact qdisc is removed when this process created it and no filter is left on it.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from quarterdeck.bpf import libbpf
from quarterdeck.bpf.errors import AttachError, LibbpfError
from quarterdeck.bpf.libbpf import Options
from quarterdeck.bpf.object import Program

_INGRESS, _EGRESS = 1, 2  # BPF_TC_INGRESS, BPF_TC_EGRESS
_PARENTS = (0xFFFFFFF2, 0xFFFFFFF3)  # TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS
_RTM_NEWTFILTER, _RTM_GETTFILTER, _NLMSG_ERROR, _NLMSG_DONE = 44, 46, 2, 3
_NLM_F_REQUEST_DUMP = 0x1 | 0x300

#: interfaces whose clsact qdisc this process created
_made: set[int] = set()


def hang(program: Program, interface: int, *, egress: bool) -> Callable[[], None]:
    """Add a filter that acts directly, and return a function that removes it."""
    hook = _hook(interface, _EGRESS if egress else _INGRESS)
    try:
        libbpf.call("bpf_tc_hook_create", hook)
        _made.add(interface)
    except LibbpfError as error:
        if error.errno != errno.EEXIST:
            raise AttachError(f"no clsact qdisc on interface {interface}: {error}") from error
    opts = libbpf.options("bpf_tc_opts", prog_fd=program.fd)
    try:
        libbpf.call("bpf_tc_attach", hook, opts)
    except LibbpfError as error:
        _remove_qdisc(interface)
        raise AttachError(f"program {program.name!r} cannot be a tc filter: {error}") from error

    def remove() -> None:
        opts["prog_fd"] = opts["prog_id"] = opts["flags"] = 0  # handle and priority identify the filter
        try:
            libbpf.call("bpf_tc_detach", hook, opts)
        except LibbpfError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV, errno.EINVAL}:  # the interface or qdisc is gone
                raise
        _remove_qdisc(interface)

    return remove


def _hook(interface: int, attach_point: int) -> Options:
    return libbpf.options("bpf_tc_hook", ifindex=interface, attach_point=attach_point)


def _remove_qdisc(interface: int) -> None:
    if interface not in _made or any(_has_filters(interface, parent) for parent in _PARENTS):
        return
    _made.discard(interface)
    try:
        libbpf.call("bpf_tc_hook_destroy", _hook(interface, _INGRESS | _EGRESS))
    except LibbpfError as error:
        if error.errno not in {errno.ENOENT, errno.ENODEV, errno.EINVAL}:
            raise


def _has_filters(interface: int, parent: int) -> bool:
    """Return whether any filter is attached below `parent` (rtnetlink RTM_GETTFILTER dump)."""
    # struct nlmsghdr, then struct tcmsg
    request = struct.pack("=IHHII", 36, _RTM_GETTFILTER, _NLM_F_REQUEST_DUMP, 1, 0)
    request += struct.pack("=BxxxiIII", socket.AF_UNSPEC, interface, 0, parent, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.send(request)
        while True:
            answer = route.recv(65536)
            offset = 0
            while offset + 16 <= len(answer):
                length, kind = struct.unpack_from("=IH", answer, offset)
                if kind == _RTM_NEWTFILTER:
                    return True
                if kind in {_NLMSG_DONE, _NLMSG_ERROR}:
                    return False
                offset += (length + 3) & ~3
