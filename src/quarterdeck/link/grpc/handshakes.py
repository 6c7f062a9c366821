"""Detects peers whose TLS handshake failed, and logs them with their address.

grpc refuses a foreign certificate during the handshake and does not report the peer. It does request our credentials
before every handshake, so at that moment the kernel's table of connections on our port, without the peers that reached
a method, contains the address. Owns no socket and changes nothing; under many connections some addresses are missed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from quarterdeck.kit.strangers import Address, Strangers, canonical

log = logging.getLogger(__name__)

#: how long a peer may take from its connection to its first call
PATIENCE_S = 3.0
#: reading the kernel's table takes about a millisecond for a thousand connections
SCAN_INTERVAL_S = 0.1
_ESTABLISHED = "01"  # include/net/tcp_states.h


class HandshakeWatch:
    """Watches the listening `port`. `began` may be called from any thread, the rest from the event loop."""

    def __init__(self, room: Strangers, *, patience_s: float = PATIENCE_S) -> None:
        self.port = 0
        self._room = room
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Address, float] = {}
        self._admitted: set[Address] = set()
        self._scanned = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def began(self) -> None:
        """Record every connected peer that has not called yet, at the beginning of a handshake."""
        now = time.monotonic()
        if not self.port or now - self._scanned < SCAN_INTERVAL_S:
            return
        self._scanned = now
        peers = set(connected_peers(self.port))
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._remember, peers, now)

    def finished(self, address: str) -> None:
        """Note that the peer at grpc's `address` reached a method, so the handshakes of its host succeed."""
        peer = parse_peer(address)
        if peer is None:
            return
        self._admitted.add(peer)
        self._room.admit(*peer)
        # a host that joins first reads our certificate, over a separate connection
        for other in [waiting for waiting in self._waiting if waiting[0] == peer[0]]:
            del self._waiting[other]

    def _remember(self, peers: set[Address], now: float) -> None:
        for peer in peers - self._admitted:
            self._waiting.setdefault(peer, now)
        self._judge_later()

    def _judge_later(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(self._patience_s, self._judge)

    def _judge(self) -> None:
        """Log the peers that disconnected without a call as refused; a peer that is still connected is only slow."""
        self._timer = None
        patience_ended = time.monotonic() - self._patience_s / 2
        connected = set(connected_peers(self.port))
        self._admitted &= connected
        gone = [peer for peer, since in self._waiting.items() if since < patience_ended and peer not in connected]
        for host, port in gone:
            del self._waiting[host, port]
            log.warning(
                "refused %s port %d: it did not complete the TLS handshake with a certificate of this fleet"
                " (foreign or expired certificate, unknown join token, or not an agent)",
                host,
                port,
            )
        self._judge_later()


def connected_peers(port: int) -> Iterator[Address]:
    """Yield peers of this host's established TCP connections on local `port`, from /proc/net/tcp and tcp6 (proc(5))."""
    suffix = f":{port:04X}"
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:  # no IPv6 on this host, or no /proc: then failed handshakes are not logged
            continue
        for line in lines:
            _, local, remote, state, *_ = line.split(None, 4)
            if state == _ESTABLISHED and local.endswith(suffix):
                yield _parse_kernel_address(remote)


def parse_peer(address: str) -> Address | None:
    """Return host and port of grpc's name for a peer: "ipv4:10.0.0.7:40130" or "ipv6:%5B::1%5D:40130"."""
    family, _, rest = address.partition(":")
    host, _, port = unquote(rest).rpartition(":")
    if family not in {"ipv4", "ipv6"} or not port.isdecimal():
        return None
    return canonical(host.strip("[]")), int(port)


def _parse_kernel_address(text: str) -> Address:
    """Parse the kernel's address: 32-bit words in host order (little-endian on every supported machine)."""
    digits, _, port = text.partition(":")
    words = bytes.fromhex(digits)
    raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    return canonical(str(ipaddress.ip_address(raw))), int(port, 16)
