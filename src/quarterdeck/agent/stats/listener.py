"""A socket on which applications of the node send statsd, and the thread that empties it into the aggregator.

The thread sleeps until something comes, and gathers for a moment before it looks again, so that a packet is rarely
alone. What the kernel had no room for is counted by the kernel, to the packet (on a Unix socket the sender waits or is
told). It never looks into a packet.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import stat
import sys
import threading
from collections.abc import Generator
from pathlib import Path

from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.packets import Packets
from quarterdeck.agent.stats.tally import PACKETS
from quarterdeck.model.stats import StatSource

#: between two looks at a socket that was found empty
GATHER_S = 0.002
#: cmd and domain of what comes through a socket
LISTENER_CMD, LISTENER_DOMAIN = "statsd", "node"

log = logging.getLogger(__name__)


class Listener:
    """Listens from the start until `finish`. `endpoint` is bound, and the listener's from now on."""

    def __init__(self, endpoint: socket.socket, *, name: str, aggregator: Aggregator) -> None:
        self.name = name
        self.address: object = endpoint.getsockname()
        self.received = 0  #: packets so far
        self._endpoint = endpoint
        self._source = StatSource(cmd=LISTENER_CMD, domain=LISTENER_DOMAIN, name=name)
        self._aggregator = aggregator
        self._packets = Packets(endpoint)
        self._closing = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"statsd-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False when its thread has crashed; the log says why."""
        return self._thread.is_alive()

    def lost(self) -> int:
        """Packets lost since the last time this was asked."""
        return self._packets.lost()

    def finish(self) -> None:
        """Take what has arrived, and no more; `lost` may still be asked."""
        self._closing.set()
        self._waker.send(b"\0")
        self._thread.join()

    def close(self) -> None:
        """Give the socket back, once it has finished."""
        for each in (self._endpoint, self._waker, self._woken):
            each.close()

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._endpoint, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                while not self._closing.is_set():
                    selector.select()
                    self._drain()
                    self._closing.wait(GATHER_S)
                self._drain()
        except Exception:
            log.exception("the statsd listener %s crashed", self.name)

    def _drain(self) -> None:
        packets = PACKETS
        while packets == PACKETS:
            packets = self._aggregator.receive(self._source, self._packets.fill)
            self.received += packets


def udp_socket(address: str) -> socket.socket:
    """A socket bound to "host:port"; OSError (or, for what cannot be a host's name, ValueError) when it cannot be."""
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with _kept(socket.socket(family, kind, protocol)) as endpoint:
        endpoint.bind(place)
        return endpoint


def unix_socket(path: Path) -> socket.socket:
    """A datagram socket at `path`, to which every user may write; one that a dead process left is replaced."""
    if sys.platform == "win32":
        raise OSError("there are no Unix datagram sockets on Windows")
    with _kept(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as endpoint:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            try:
                endpoint.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise OSError(f"{path} is in use")
        endpoint.bind(str(path))
        path.chmod(0o666)
        return endpoint


@contextlib.contextmanager
def _kept(endpoint: socket.socket) -> Generator[socket.socket]:
    """Closed when what is done with it fails."""
    try:
        yield endpoint
    except BaseException:
        endpoint.close()
        raise
