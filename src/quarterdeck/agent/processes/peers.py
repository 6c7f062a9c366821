"""Who may tell the keeper what to do: this user, and root. Standard library only."""

from __future__ import annotations

import os
import socket
import struct
import sys

if sys.platform == "win32":
    raise ImportError("The keeper needs a POSIX system.")

_UCRED = struct.Struct("3i")  # pid, uid, gid (unix(7))


def may_command(connection: socket.socket) -> bool:
    """Whether the peer is this user, or root."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return _UCRED.unpack(peer)[1] in (0, os.geteuid())
