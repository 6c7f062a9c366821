"""The network interfaces that a probe selects."""

from __future__ import annotations

import socket
from pathlib import Path

from quarterdeck.bpf.errors import NotAttachable

_UP, _LOOPBACK = 0x1, 0x8  # IFF_UP, IFF_LOOPBACK of net/if.h


def chosen(name: str) -> list[tuple[str, int]]:
    """Return name and index of the interface `name`, or of every interface that is up except loopback if it is empty.

    Raise `NotAttachable` when there is no such interface.
    """
    every = socket.if_nameindex()
    found = [(each, index) for index, each in every if (each == name if name else _is_up(each))]
    if not found:
        known = ", ".join(each for _, each in every)
        raise NotAttachable(f"no interface {name!r} here; there are: {known}" if name else "no interface is up here")
    return found


def _is_up(name: str) -> bool:
    try:
        flags = int(Path(f"/sys/class/net/{name}/flags").read_text(), 16)
    except FileNotFoundError:  # it was removed between the two calls
        return False
    return bool(flags & _UP) and not flags & _LOOPBACK
