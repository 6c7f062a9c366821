"""Notices peers whose TLS handshake failed, and says so in the log with their address.

grpc refuses a foreign certificate during the handshake and tells nobody who it was. It does ask for our credentials
before every handshake, so at that moment the kernel's table of connections on our port, less the peers that reached a
method, holds the address. Owns no socket and changes nothing; under a storm of connections some addresses are missed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

log = logging.getLogger(__name__)

#: how long a peer may take from its connection to its first call
PATIENCE_S = 3.0
#: reading the kernel's table takes about a millisecond for a thousand connections
SCAN_INTERVAL_S = 0.1
_ESTABLISHED = "01"  # include/net/tcp_states.h

Address = tuple[str, int]


class HandshakeWatch:
    """Watches the listening `port`. `began` may be called from any thread, the rest from the event loop."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Address, float] = {}
        self._admitted: set[Address] = set()
        self._scanned = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def began(self) -> None:
        """A handshake begins: remember every peer that is connected but has not called yet."""
        now = time.monotonic()
        if not self.port or now - self._scanned < SCAN_INTERVAL_S:
            return
        self._scanned = now
        peers = set(connected_peers(self.port))
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._remember, peers, now)

    def finished(self, address: str) -> None:
        """The peer at grpc's `address` reached a method: its handshake was good, and so were others of that host."""
        peer = parse_peer(address)
        if peer is None:
            return
        self._admitted.add(peer)
        # a host that joins looks at our certificate first, over a connection of its own
        for other in [waiting for waiting in self._waiting if waiting[0] == peer[0]]:
            del self._waiting[other]

    def _remember(self, peers: set[Address], now: float) -> None:
        for peer in peers - self._admitted:
            self._waiting.setdefault(peer, now)
        self._judge_later()

    def _judge_later(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(PATIENCE_S, self._judge)

    def _judge(self) -> None:
        """Whoever had its time and went without a call was refused; whoever is still there is only slow."""
        self._timer = None
        patience_ended = time.monotonic() - PATIENCE_S / 2
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
    """Peers of this host's established TCP connections on local `port`, from /proc/net/tcp and tcp6 (proc(5))."""
    suffix = f":{port:04X}"
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:  # no IPv6 on this host, or no /proc: then handshakes go unnamed
            continue
        for line in lines:
            _, local, remote, state, *_ = line.split(None, 4)
            if state == _ESTABLISHED and local.endswith(suffix):
                yield _parse_kernel_address(remote)


def parse_peer(address: str) -> Address | None:
    """Host and port in grpc's words for a peer: "ipv4:10.0.0.7:40130" or "ipv6:%5B::1%5D:40130"."""
    family, _, rest = address.partition(":")
    host, _, port = unquote(rest).rpartition(":")
    if family not in {"ipv4", "ipv6"} or not port.isdecimal():
        return None
    return _canonical(ipaddress.ip_address(host.strip("[]").partition("%")[0])), int(port)


def _parse_kernel_address(text: str) -> Address:
    """The kernel prints an address as 32-bit words in host order (little-endian on every machine we run on)."""
    digits, _, port = text.partition(":")
    words = bytes.fromhex(digits)
    raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    return _canonical(ipaddress.ip_address(raw)), int(port, 16)


def _canonical(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
