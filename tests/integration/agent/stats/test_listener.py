"""Real sockets: every packet is received or counted, to the packet."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.agent.stats import packets
from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.listener import Listener, udp_socket, unix_socket
from quarterdeck.agent.stats.packets import Packets
from quarterdeck.agent.stats.tally import PACKET_ROOM_BYTES, PACKETS, Tally
from quarterdeck.columns.outlet import Outlet
from quarterdeck.wasm.engine import Engine
from tests.fleet import eventually

LOCAL = "127.0.0.1:0"


@pytest.fixture
def aggregator() -> Iterator[Aggregator]:
    aggregator = Aggregator(Outlet(emit=lambda *_: None, lose=lambda _: None))
    yield aggregator
    aggregator.close()


@pytest.fixture
def tally() -> Iterator[Tally]:
    engine = Engine()
    yield Tally(engine)
    engine.close()


@pytest.fixture(params=["many a call", "one a call"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How packets are taken: as Linux can, or as every system can."""
    if request.param == "one a call":
        monkeypatch.setattr(packets, "_recvmmsg", None)
    elif sys.platform != "linux":
        pytest.skip("recvmmsg is Linux's")
    return str(request.param)


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender


@pytest.mark.usefixtures("way")
def test_packets_are_taken_in_order_as_many_as_wait(tally: Tally, sender: socket.socket) -> None:
    with udp_socket(LOCAL) as endpoint:
        sender.connect(endpoint.getsockname())
        mine = Packets(endpoint)
        assert mine.fill(tally) == 0
        for number in range(PACKETS + 5):
            sender.send(b"g:%d|g\nc:1|c" % number)
        sender.send(b"")
        for expected in (PACKETS, 6, 0):
            found = mine.fill(tally)
            assert found == expected
            tally.receive(1, found)
        assert tally.report.packets == PACKETS + 6
        assert tally.report.malformed == 0
        assert [float(last) for last in tally.keys()["last"]] == [PACKETS + 4, 1]
        assert float(tally.keys()["sum"][1]) == PACKETS + 5
        assert mine.lost() == 0


@pytest.mark.usefixtures("way")
def test_the_largest_packet_of_udp_is_whole(tally: Tally, sender: socket.socket) -> None:
    with udp_socket(LOCAL) as endpoint:
        sender.connect(endpoint.getsockname())
        mine = Packets(endpoint)
        sender.send((b"c:1|c\n" * 12_000)[:65_507])
        tally.receive(1, mine.fill(tally))
        assert float(tally.keys()["sum"][0]) == 65_508 // 6
        assert tally.report.malformed == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many packets it dropped")
def test_sent_is_received_plus_lost_to_the_packet(aggregator: Aggregator, sender: socket.socket) -> None:
    endpoint = udp_socket(LOCAL)
    sender.connect(endpoint.getsockname())
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    enlarge, packets._enlarge = packets._enlarge, lambda _: None  # a buffer that is soon full
    try:
        mine = Packets(endpoint)
    finally:
        packets._enlarge = enlarge
    engine = Engine()
    tally = Tally(engine)
    sent, lost = 0, 0
    for burst in (1_000, 3, 2_000):
        for _ in range(burst):
            sender.send(b"c:1|c")
            sent += 1
        while received := mine.fill(tally):
            tally.receive(1, received)
        lost += mine.lost()
    assert lost > 0
    assert sent == tally.report.packets + lost == float(tally.keys()["sum"][0]) + lost
    assert mine.lost() == 0
    endpoint.close()
    engine.close()


def test_a_listener_takes_what_arrived_before_it_finished(aggregator: Aggregator, sender: socket.socket) -> None:
    listener = Listener(udp_socket(LOCAL), name="udp", aggregator=aggregator)
    sender.connect(listener.address)
    for _ in range(500):
        sender.send(b"c:1|c")
    listener.finish()
    assert listener.received + listener.lost() == 500
    assert not listener.alive
    listener.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix datagram sockets")
def test_on_a_unix_socket_the_sender_waits_and_nothing_is_lost(aggregator: Aggregator, tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    listener = Listener(unix_socket(path), name="unix", aggregator=aggregator)
    assert path.stat().st_mode & 0o222 == 0o222, "every user may write"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(path))
        for _ in range(20_000):
            sender.send(b"c:1|c")
    eventually(lambda: listener.received == 20_000, "all of them")
    with pytest.raises(OSError, match="is in use"):
        unix_socket(path)
    listener.finish()
    listener.close()
    assert path.exists()
    unix_socket(path).close()  # what a dead process left is replaced
    other = tmp_path / "file"
    other.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        unix_socket(other)
    assert other.read_text() == "precious"


@pytest.mark.skipif(sys.platform != "linux", reason="packets above 64 KiB")
def test_what_a_packet_was_cut_off_is_no_metric(tally: Tally, tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    with unix_socket(path) as endpoint, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(path))
        mine = Packets(endpoint)
        sender.send(b"c:1|c\n" * 15_000)
        tally.receive(1, mine.fill(tally))
    assert float(tally.keys()["sum"][0]) == PACKET_ROOM_BYTES // 6
    assert tally.report.malformed == 1


def test_ipv6_and_names_are_addresses() -> None:
    for address in ("localhost:0", "[::1]:0"):
        udp_socket(address).close()


def test_a_crash_is_told(
    aggregator: Aggregator, sender: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Packets, __: Tally) -> int:
        raise OSError("broken")

    monkeypatch.setattr(Packets, "fill", fail)
    with caplog.at_level(logging.ERROR):
        listener = Listener(udp_socket(LOCAL), name="udp", aggregator=aggregator)
        sender.sendto(b"c:1|c", listener.address)
        eventually(lambda: not listener.alive, "the thread to end")
    assert "the statsd listener udp crashed" in caplog.text
    listener.finish()
    listener.close()
