"""Receives waiting datagrams from a socket into a tally: on 64-bit Linux with one system call (recvmmsg).

The kernel writes packets and their sizes where the tally reads them. A single call matters next to other Python
threads, because each call releases the interpreter and must acquire it again. Other systems need one call per packet.
Never waits.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from typing import Any

from quarterdeck.agent.stats.tally import PACKET_BYTES, PACKET_ROOM_BYTES, PACKETS, Tally

#: options that Python does not name
_SO_RCVBUFFORCE, _SO_MEMINFO = 33, 55
_MEMINFO = struct.Struct("=9I")
_DROPS = 8

#: requested size; the kernel counts about 1 KB per small packet, and limits other users than root to net.core.rmem_max
RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024


class Packets:
    """Receives from one socket into one tally."""

    def __init__(self, endpoint: socket.socket) -> None:
        self._endpoint = endpoint
        endpoint.setblocking(False)
        _enlarge(endpoint)
        self._known_lost = 0
        self._tally: Tally | None = None

    def fill(self, tally: Tally) -> int:
        """Put waiting packets, up to `PACKETS`, into the tally's memory; return how many."""
        if tally is not self._tally:
            self._tally = tally
            self._attach(tally)
        if _recvmmsg is None:
            return self._one_by_one()
        received = _recvmmsg(self._endpoint.fileno(), tally.headers, PACKETS, _DO_NOT_WAIT, None)
        if received < 0:
            number = ctypes.get_errno()
            if number in _NOTHING:
                return 0
            raise OSError(number, os.strerror(number))
        return received

    def lost(self) -> int:
        """Return exactly how many packets the kernel dropped since the last call; 0 where it does not count them."""
        if sys.platform != "linux":
            return 0
        try:
            found = self._endpoint.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:  # a kernel before 4.12
            return 0
        drops = _MEMINFO.unpack(found)[_DROPS]
        new, self._known_lost = (drops - self._known_lost) & 0xFFFFFFFF, drops
        return new

    def _attach(self, tally: Tally) -> None:
        """Set where packets go, once for each tally."""
        self._headers = (_Header * PACKETS).from_address(tally.headers)
        places = range(tally.packets, tally.packets + PACKETS * PACKET_BYTES, PACKET_BYTES)
        if _recvmmsg is None:
            slots = ((ctypes.c_ubyte * PACKET_ROOM_BYTES).from_address(place) for place in places)
            self._slots = [memoryview(slot).cast("B") for slot in slots]
            return
        self._vectors = (_Vector * PACKETS)(*((place, PACKET_ROOM_BYTES) for place in places))
        first = ctypes.addressof(self._vectors)
        for number, header in enumerate(self._headers):
            header.vectors, header.count = first + number * ctypes.sizeof(_Vector), 1

    def _one_by_one(self) -> int:
        for number, slot in enumerate(self._slots):
            try:
                self._headers[number].size = self._endpoint.recv_into(slot)
            except (BlockingIOError, InterruptedError):
                return number
        return PACKETS


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct mmsghdr on 64 bits."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("name", "name_size", "vectors", "count", "control", "control_size")),
        *((name, ctypes.c_uint32) for name in ("flags", "pad", "size", "pad2")),
    )
    vectors: int
    count: int
    size: int


def _enlarge(endpoint: socket.socket) -> None:
    """Set the largest receive buffer that this process may have."""
    if sys.platform == "linux":
        try:
            endpoint.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    else:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES // 32)


def _bound() -> Any:
    """Return recvmmsg(2), where its headers are those that the tally reads; None elsewhere."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "recvmmsg", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        function.restype = ctypes.c_int
    return function


_recvmmsg = _bound()
_DO_NOT_WAIT = 0x40  # MSG_DONTWAIT, of Linux
_NOTHING = {11, 4}  # EAGAIN, EINTR, of Linux
