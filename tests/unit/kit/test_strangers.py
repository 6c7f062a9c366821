"""The connections that are closed when a port is nearly full."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quarterdeck.kit.strangers import Address, Connection, Strangers, _shut, accepted, by_greed, canonical, customer

LIMIT = 20
DEADLINE_S = 30.0


@asynccontextmanager
async def connected(room: Strangers, count: int) -> AsyncGenerator[list[asyncio.StreamReader]]:
    """Open connections to a watched port, the oldest first; the first one is known."""
    held: list[asyncio.StreamWriter] = []
    opened: list[asyncio.StreamReader] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    for number in range(count):
        reader, writer = await asyncio.open_connection(host, port)
        held.append(writer)
        opened.append(reader)
        if number == 0:
            room.admit(*writer.get_extra_info("sockname"))
    room.start(port)
    yield opened
    await room.stop()
    for writer in held:
        writer.transport.abort()
    server.close()
    await server.wait_closed()


async def test_strangers_are_closed_before_the_port_is_full_and_who_is_known_stays() -> None:
    async with connected(Strangers(limit=LIMIT, interval_s=0.001), 15) as opened, asyncio.timeout(DEADLINE_S):
        ended = [asyncio.create_task(reader.read(1)) for reader in opened]
        closed = [await task for task in itertools.islice(asyncio.as_completed(ended), 5)]
        assert closed == [b""] * 5
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        assert not opened[0].at_eof()


async def test_where_there_is_room_nobody_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    room = Strangers(limit=LIMIT, interval_s=0.001)
    async with connected(room, 14) as opened:
        room._look()
        room._look()
        assert not any(reader.at_eof() for reader in opened)
    assert not caplog.records


def test_connections_of_the_address_with_the_most_are_closed_first_the_oldest_before() -> None:
    many: list[Address] = [("10.0.0.1", port) for port in range(1, 5)]
    few: list[Address] = [("10.0.0.2", 1), ("10.0.0.2", 2)]
    assert list(by_greed([*few, *many])) == many[:2]
    assert list(by_greed([*few, *many[:3]])) == [many[0], few[0], many[1]]
    assert list(by_greed([*few[:1], *many[:1]])) == [few[0], many[0]]
    assert not list(by_greed([]))


def test_only_accepted_connections_of_the_port_are_found() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(listening.getsockname()) as one,
        socket.create_connection(other.getsockname()),
    ):
        ours, peer = listening.accept()
        with ours:
            found = list(accepted(listening.getsockname()[1]))
            assert [(each.descriptor, each.peer) for each in found] == [(ours.fileno(), peer)]
            one.sendall(b"it is still open")
            assert ours.recv(100) == b"it is still open"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_dual_stack_port_names_peers_as_they_name_themselves(host: str) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection((host, port)) as one:
            ours, _ = listening.accept()
            with ours:
                assert [each.peer for each in accepted(port)] == [one.getsockname()[:2]]
                _shut(next(accepted(port)))
                assert one.recv(1) == b""


def test_a_descriptor_that_another_connection_has_now_is_not_shut_down() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as one,
        socket.create_connection(listening.getsockname()) as two,
    ):
        first, peer = listening.accept()
        second, _ = listening.accept()
        chosen = Connection(first.fileno(), peer)
        with first, second:
            os.dup2(second.fileno(), first.fileno())
            _shut(chosen)
            two.sendall(b"it is still open")
            assert second.recv(100) == b"it is still open"
        assert one.recv(1) == b""


def test_a_descriptor_that_a_file_has_now_is_left_alone_with_its_locks(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, (tmp_path / "locked").open("w") as file:
        with socket.create_connection(listening.getsockname()):
            accepted_one, peer = listening.accept()
            accepted_one.close()
        fcntl.lockf(file, fcntl.LOCK_EX)
        before = len(list(Path("/proc/self/fd").iterdir()))
        _shut(Connection(file.fileno(), peer))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        tries = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", tries, file.name], capture_output=True, check=False)
        assert b"BlockingIOError" in other.stderr


def test_a_socket_of_another_family_is_passed_over() -> None:
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink,
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = listening.getsockname()[1]
        netlink.bind((0, port))
        datagrams.bind(("127.0.0.1", port))
        assert netlink.getsockname()[1] == port
        assert list(accepted(port)) == []


@pytest.mark.parametrize(
    ("host", "spelled", "who"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
    ],
)
def test_addresses_have_one_spelling_and_one_customer(host: str, spelled: str, who: str) -> None:
    assert canonical(host) == spelled
    assert customer(host) == who
