"""The kernel's and grpc's notations of a peer's address are parsed alike."""

from __future__ import annotations

import asyncio
import socket

import pytest

from quarterdeck.link.grpc.handshakes import connected_peers, parse_peer


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("ipv4:10.0.0.7:40130", ("10.0.0.7", 40130)),
        ("ipv6:%5B::1%5D:443", ("::1", 443)),
        ("ipv6:[fe80::1%25eth0]:9", ("fe80::1", 9)),
        ("ipv6:%5B::ffff:127.0.0.1%5D:7", ("127.0.0.1", 7)),
        ("unix:/tmp/socket", None),
        ("", None),
    ],
)
def test_peers_in_grpc_words(address: str, peer: tuple[str, int] | None) -> None:
    assert parse_peer(address) == peer


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_connected_peers_are_found_in_the_kernel_table(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    server = await asyncio.start_server(lambda *_: None, host, 0, family=family)
    port = server.sockets[0].getsockname()[1]
    with socket.create_connection((host, port)) as client:
        assert (host, client.getsockname()[1]) in set(connected_peers(port))
    server.close()
