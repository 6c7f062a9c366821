"""A socket to which applications of the node send statsd, and the thread that empties it into the aggregator.

The thread sleeps until a packet arrives, and waits a moment before it looks again, so that it rarely takes a single
packet. The kernel counts exactly the packets that it had no space for (on a Unix socket the sender waits or gets an
error). It never parses a packet.
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
from typing import Any

from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.packets import Packets
from quarterdeck.agent.stats.tally import PACKETS
from quarterdeck.model.stats import StatSource

#: between two looks at a socket that was found empty
GATHER_S = 0.002
#: cmd and domain of samples that arrive through a socket
LISTENER_CMD, LISTENER_DOMAIN = "statsd", "node"

log = logging.getLogger(__name__)


class Listener:
    """Listens from its creation until `finish`. `endpoint` is bound, and owned by the listener from now on."""

    def __init__(self, endpoint: socket.socket, *, name: str, aggregator: Aggregator) -> None:
        self.name = name
        self.address: tuple[Any, ...] | str = endpoint.getsockname()
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
        """Return False when its thread has crashed; the log has the reason."""
        return self._thread.is_alive()

    def lost(self) -> int:
        """Return the number of packets lost since the last call."""
        return self._packets.lost()

    def finish(self) -> None:
        """Take the packets that have arrived, and no more; `lost` may still be called."""
        self._closing.set()
        self._waker.send(b"\0")
        self._thread.join()

    def close(self) -> None:
        """Close the socket of a finished listener."""
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
    """Return a socket bound to "host:port"; raise OSError, or ValueError for a name that cannot be a host's."""
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with _kept(socket.socket(family, kind, protocol)) as endpoint:
        endpoint.bind(place)
        return endpoint


def unix_socket(path: Path) -> socket.socket:
    """Return a datagram socket at `path` that every user may write to; replace one that a dead process left."""
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
    """Close the socket when the body fails."""
    try:
        yield endpoint
    except BaseException:
        endpoint.close()
        raise
