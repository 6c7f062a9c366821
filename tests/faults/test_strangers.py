"""Clients without a token renew thousands of connections: health checks and this machine's own `qd` are answered."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from quarterdeck.client import Client, Endpoint
from quarterdeck.model.tokens import Role
from tests.fleet import Fleet, eventually

CONNECTIONS = 2000
#: of the server, of which a quarter is the share of each port
DESCRIPTORS = 4000
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close resets


class Attack:
    """Keeps `CONNECTIONS` connections open from one thread; each that ends is replaced at once."""

    def __init__(self, address: str, says: bytes, *, resets: bool) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._says, self._resets = says, resets
        self._open = selectors.DefaultSelector()
        self.begun = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        eventually(lambda: self.begun > CONNECTIONS, "the first connection to be renewed")

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()
        for key in list(self._open.get_map().values()):
            self._close(key.fileobj)
        self._open.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            for _ in range(CONNECTIONS - len(self._open.get_map())):
                self._connect()
            for key, _ in self._open.select(0.01):
                self._go_on(key.fileobj)

    def _connect(self) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.connect_ex(self._address)
        self._open.register(connection, selectors.EVENT_WRITE)
        self.begun += 1

    def _go_on(self, connection: object) -> None:
        """Say it once the connection is there, again after each answer; leave when it ends."""
        assert isinstance(connection, socket.socket)
        try:
            reads = self._open.get_key(connection).events == selectors.EVENT_READ
            if self._resets or (reads and not connection.recv(65536)):
                raise ConnectionError
            connection.send(self._says)
            self._open.modify(connection, selectors.EVENT_READ)
        except OSError:
            self._close(connection)

    def _close(self, connection: object) -> None:
        assert isinstance(connection, socket.socket)
        with suppress(KeyError):
            self._open.unregister(connection)
        connection.close()


@contextmanager
def attack(address: str, says: bytes, *, resets: bool = False) -> Generator[None]:
    attacking = Attack(address, says, resets=resets)
    try:
        attacking.start()
        yield
    finally:
        attacking.stop()


@pytest.fixture
def fleet(tmp_path: Path) -> Generator[Fleet]:
    with Fleet(tmp_path, server_descriptors=DESCRIPTORS) as made:
        yield made


@pytest.mark.parametrize(
    ("says", "resets"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\n", False, id="half a request"),
        pytest.param(b"", True, id="resets"),
    ],
)
def test_health_and_the_local_administrator_are_answered(fleet: Fleet, says: bytes, resets: bool) -> None:
    home = fleet.server.home
    local = httpx.HTTPTransport(uds=str(home / "http.socket"))
    other = httpx.HTTPTransport(local_address="127.0.0.9")  # such as a load balancer's
    with (
        Client(Endpoint.of_home(home)) as administrator,
        httpx.Client(transport=local, base_url="http://localhost", timeout=30) as checks,
        httpx.Client(transport=other, base_url=f"http://{fleet.http}", timeout=30) as remote,
        attack(fleet.http, says, resets=resets),
    ):
        for number in range(3):
            administrator.api_tokens.create(f"viewer {number}", Role.VIEWER)
            for path in ("/healthz", "/readyz"):
                assert checks.get(path).status_code == 200
                assert remote.get(path).status_code == 200
    assert fleet.server.running
