"""Connections over the loopback interface, with known ports and byte counts, compared with the rows of the table."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from quarterdeck.testing.module_run import ModuleRun, Row
from tests.support import require

MODULE = Path(__file__).parent
#: family, its loopback address, and its form in the table
FAMILIES = [
    pytest.param(socket.AF_INET, "127.0.0.1", IPv6Address("::ffff:127.0.0.1"), id="ipv4"),
    pytest.param(socket.AF_INET6, "::1", IPv6Address("::1"), id="ipv6"),
]
TO_SERVER, TO_CLIENT = b"q" * 300_000, b"a" * 12_345


class Pair:
    """A connection of this process to itself."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        with closing(socket.socket(family)) as listener:
            listener.bind((host, 0))
            listener.listen()
            self.port = listener.getsockname()[1]
            self.client = socket.create_connection((host, self.port))
            self.client_port = self.client.getsockname()[1]
            self.server, _ = listener.accept()

    def talk(self) -> None:
        """Send and receive in both directions."""
        self.server.sendall(TO_CLIENT)
        receive(self.client, len(TO_CLIENT))
        for start in range(0, len(TO_SERVER), 50_000):
            self.client.sendall(TO_SERVER[start : start + 50_000])
            receive(self.server, 50_000)


def receive(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))


def require_ipv6(family: socket.AddressFamily) -> None:
    require(family == socket.AF_INET or Path("/proc/net/if_inet6").exists(), "this kernel has no IPv6")


@pytest.fixture(params=[(), ("state_btf",)], ids=["tp_btf", "raw_tp"])
def run(request: pytest.FixtureRequest) -> Iterator[ModuleRun]:
    """Yield the module, for all connections of the machine."""
    with ModuleRun(MODULE, without=request.param) as run:
        yield run


def wait_for(run: ModuleRun, pair: Pair, side: str, event: str) -> Row:
    local = pair.client_port if side == "CLIENT" else pair.port
    remote = pair.port if side == "CLIENT" else pair.client_port

    def wanted(row: Row) -> bool:
        return (row["local_port"], row["remote_port"], row["event"]) == (local, remote, event)

    row = run.wait_for("tcp_connections", wanted)
    assert row["side"] == side
    return row


@pytest.mark.parametrize("closes_first", ["client", "server"])
@pytest.mark.parametrize(("family", "host", "address"), FAMILIES)
def test_both_sides_of_a_connection(
    run: ModuleRun, family: socket.AddressFamily, host: str, address: IPv6Address, closes_first: str
) -> None:
    require_ipv6(family)
    began_ns = time.time_ns()
    pair = Pair(family, host)
    pair.talk()
    for end in (pair.client, pair.server)[:: 1 if closes_first == "client" else -1]:
        end.close()
    comm = Path("/proc/self/comm").read_text().strip()
    for side, sent, received in (("CLIENT", TO_SERVER, TO_CLIENT), ("SERVER", TO_CLIENT, TO_SERVER)):
        opened, closed = (wait_for(run, pair, side, event) for event in ("OPENED", "CLOSED"))
        assert (opened["bytes_sent"], opened["bytes_received"], opened["duration"]) == (0, 0, 0)
        assert (closed["bytes_sent"], closed["bytes_received"]) == (len(sent), len(received))
        assert closed["time"] - opened["time"] == closed["duration"] > 0
        assert began_ns - 1_000_000_000 < opened["time"]
        assert (closed["pid"], closed["comm"], closed["uid"]) == (os.getpid(), comm, 0)
        assert opened["pid"] == (os.getpid() if side == "CLIENT" else 0)
        assert closed["rtt"] > 0
        assert {row[place] for row in (opened, closed) for place in ("local_ip", "remote_ip")} == {address}


def test_reset_connection_is_closed_with_its_bytes(run: ModuleRun) -> None:
    pair = Pair(socket.AF_INET, "127.0.0.1")
    pair.talk()
    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.client.close()
    pair.server.close()
    client, server = (wait_for(run, pair, side, "CLOSED") for side in ("CLIENT", "SERVER"))
    assert (client["bytes_sent"], client["bytes_received"]) == (len(TO_SERVER), len(TO_CLIENT))
    assert (server["bytes_sent"], server["bytes_received"]) == (len(TO_CLIENT), len(TO_SERVER))
    assert client["pid"] == os.getpid()


@pytest.mark.parametrize(("family", "host", "address"), FAMILIES)
def test_refused_connection_is_failed(
    run: ModuleRun, family: socket.AddressFamily, host: str, address: IPv6Address
) -> None:
    require_ipv6(family)
    with closing(socket.socket(family)) as bound:  # keeps the port without listening
        bound.bind((host, 0))
        port = bound.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port))
    row = run.wait_for("tcp_connections", lambda row: row["remote_port"] == port and row["pid"] == os.getpid())
    assert (row["event"], row["side"], row["remote_ip"]) == ("FAILED", "CLIENT", address)
    assert (row["bytes_sent"], row["bytes_received"]) == (0, 0)
    assert row["duration"] > 0


def test_connection_of_before_is_closed_by_a_side_unknown() -> None:
    pair = Pair(socket.AF_INET, "127.0.0.1")
    pair.talk()
    with ModuleRun(MODULE, settings={"only_port": pair.port}) as run:
        pair.server.close()
        pair.client.close()
        for port, sent, received in ((pair.client_port, TO_SERVER, TO_CLIENT), (pair.port, TO_CLIENT, TO_SERVER)):
            row = run.wait_for("tcp_connections", lambda row, port=port: row["local_port"] == port)
            assert (row["event"], row["side"], row["duration"]) == ("CLOSED", "UNKNOWN", 0)
            assert (row["bytes_sent"], row["bytes_received"]) == (len(sent), len(received))
            assert row["pid"] == os.getpid()


@pytest.mark.parametrize("end", ["port", "client_port"])
def test_only_one_port(end: str) -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with ModuleRun(MODULE, settings={"only_port": port}) as run:
            if end == "port":
                bound.listen()
                client = socket.create_connection(("127.0.0.1", port))
                server, _ = bound.accept()
            else:
                with closing(socket.create_server(("127.0.0.1", 0))) as listener:
                    bound.connect(listener.getsockname())
                    client, (server, _) = bound, listener.accept()
            other = Pair(socket.AF_INET, "127.0.0.1")
            for each in (other.client, other.server, client, server):
                each.close()
            for event in ("OPENED", "CLOSED"):
                for side in ("CLIENT", "SERVER"):
                    run.wait_for(
                        "tcp_connections", lambda row, wanted=(event, side): (row["event"], row["side"]) == wanted
                    )
    assert len(run.rows("tcp_connections")) == 4
    assert all(port in (row["local_port"], row["remote_port"]) for row in run.rows("tcp_connections"))
