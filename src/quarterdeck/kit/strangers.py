"""Room on a listening port: connections of unidentified peers are closed before the port is full.

A library that accepts connections itself (granian, grpc) stops accepting, or refuses everybody, at its limit; a client
that renews silent connections could keep all others away. `Strangers` watches the connections of one port. When their
number reaches `FULL` of the limit, it closes the oldest of the addresses that have the most, down to `ROOMY` of it.
The owner of the port reports which peers have identified themselves. It never closes these, and never accepts or reads.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import os
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from quarterdeck.kit.tasks import cancel, keep

log = logging.getLogger(__name__)

#: shares of the limit: where closing begins, and what it leaves
FULL, ROOMY = 0.75, 0.5
#: between two looks; a stranger has at least this long to identify itself
INTERVAL_S = 0.2
#: a look takes at most this share of the time: it costs some microseconds for each descriptor of the process
_LOOKING = 0.2
_DESCRIPTORS = "/proc/self/fd"

Address = tuple[str, int]


class Connection(NamedTuple):
    """An accepted connection: its descriptor and its peer."""

    descriptor: int
    peer: Address


class Strangers:
    """Keeps room on one port. All methods are called from the event loop."""

    def __init__(self, *, limit: int, interval_s: float = INTERVAL_S) -> None:
        self._full, self._roomy = max(1, int(limit * FULL)), int(limit * ROOMY)
        self._interval_s = interval_s
        self._port = 0
        self._known: set[Address] = set()
        self._seen: dict[Address, None] = {}  # strangers of the last look, the oldest first
        self._task: asyncio.Task[None] | None = None

    def start(self, port: int) -> None:
        """Watch the connections that this process accepts on `port`."""
        self._port = port
        name = f"strangers on port {port}"
        self._task = asyncio.create_task(keep(name, self._watch), name=name)

    async def stop(self) -> None:
        """Stop watching; the connections stay."""
        if self._task is not None:
            await cancel(self._task)

    def admit(self, host: str, port: int) -> None:
        """Note that the peer at this address has identified itself: its connection is not closed."""
        self._known.add((canonical(host), port))

    def knows(self, host: str, port: int) -> bool:
        """Return whether the peer at this address has identified itself."""
        return (canonical(host), port) in self._known

    async def _watch(self) -> None:
        while True:
            began_s = time.thread_time()
            # counting the descriptors of the process is cheap, and few of them need no look
            if len(os.listdir(_DESCRIPTORS)) >= self._full or len(self._known) > 2 * self._full:  # noqa: PTH208
                self._look()
            await asyncio.sleep(max(self._interval_s, (time.thread_time() - began_s) / _LOOKING))

    def _look(self) -> None:
        connections = {each.peer: each.descriptor for each in accepted(self._port)}
        self._known &= connections.keys()
        strangers = connections.keys() - self._known
        waited = {peer: None for peer in self._seen if peer in strangers}
        self._seen = dict.fromkeys((*waited, *strangers))
        if len(connections) < self._full:
            return
        greedy = (peer for peer in by_greed(self._seen) if peer in waited)
        if chosen := list(itertools.islice(greedy, len(connections) - self._roomy)):
            for peer in chosen:
                _shut(Connection(connections[peer], peer))
            self._tell(len(connections), chosen)

    def _tell(self, connections: int, chosen: list[Address]) -> None:
        most = Counter(customer(host) for host, _ in chosen).most_common(3)
        log.warning(
            "port %d has %d connections, so %d whose peers have not identified themselves were closed (%s)",
            self._port,
            connections,
            len(chosen),
            ", ".join(f"{count} of {who}" for who, count in most),
        )


def by_greed(peers: Iterable[Address]) -> Iterator[Address]:
    """Yield peers, given the oldest first: those of the customer with the most come first, and of each the oldest.

    Half of the connections of the customer with the most are left out, the newest, and as many of every other customer.
    """
    of_one: dict[str, list[Address]] = {}
    for peer in peers:
        of_one.setdefault(customer(peer[0]), []).append(peer)
    most = max(map(len, of_one.values()), default=0)
    ranked = ((len(own) - age, peer) for own in of_one.values() for age, peer in enumerate(own))
    greedy = [(rank, peer) for rank, peer in ranked if rank > most // 2]
    return (peer for _, peer in sorted(greedy, key=lambda ranked: -ranked[0]))


def accepted(port: int) -> Iterator[Connection]:
    """Yield the TCP connections of this process whose own end is at `port`."""
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 (names, many times a second)
        try:
            borrowed = _borrow(int(name))
        except OSError:  # not a socket
            continue
        try:
            own = borrowed.getsockname()
            if _is_internet(own) and own[1] == port:
                host, peer_port, *_ = borrowed.getpeername()
                yield Connection(int(name), (canonical(host), peer_port))
        except OSError:  # a listening socket, or a connection that has ended
            continue
        finally:
            borrowed.detach()


def _is_internet(address: object) -> bool:
    """Return whether this is the address of an IPv4 or IPv6 socket; those of other families have other shapes."""
    return isinstance(address, tuple) and isinstance(address[0], str)


def _borrow(descriptor: int) -> socket.socket:
    """Return the socket of a descriptor, to be read and detached; raise `OSError` if there is none.

    Its family is detected: with the wrong one, the addresses of IPv6 would be cut off.
    """
    return socket.socket(fileno=descriptor)


def _shut(connection: Connection) -> None:
    """Shut a connection down, so that the library that accepted it finds it ended.

    Another thread may close the descriptor at any moment, and the system may reuse its number. A duplicate refers to
    one connection for as long as it is open: its peer is checked, and only that connection is shut down.
    """
    if not _is_socket(connection.descriptor):
        return
    try:
        duplicate = os.dup(connection.descriptor)
    except OSError:  # it has ended
        return
    if not _is_socket(duplicate):
        # the number was reused for a file just now. The duplicate stays open: closing it would drop the file's locks
        return
    with socket.socket(fileno=duplicate) as ours:
        try:
            peer = ours.getpeername()
            if _is_internet(peer) and (canonical(peer[0]), peer[1]) == connection.peer:
                ours.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended
            return


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:  # it is closed
        return False


@lru_cache(maxsize=65536)
def customer(host: str) -> str:
    """Return the address, or for IPv6 the network that one customer has."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


def canonical(host: str) -> str:
    """Return an address in one spelling, and as IPv4 where it is one within IPv6."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address)
