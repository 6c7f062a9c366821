"""An application on the node sends statsd, and a user queries its measurements."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet

PACKETS = 2_000


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as fleet:
        yield fleet


def udp_port() -> int:
    """Return a free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_applications_send_is_in_the_table(fleet: Fleet, tmp_path: Path) -> None:
    port, path = udp_port(), tmp_path / "statsd.sock"
    environment = {
        "QD_AGENT_STATS__STATSD_UDP": f"127.0.0.1:{port}",
        "QD_AGENT_STATS__STATSD_UNIX": str(path),
        "QD_AGENT_STATS__FLUSH_S": "0.5",
    }
    agent = fleet.join("one", environment=environment)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", port))
        for number in range(PACKETS):
            udp.send(b"shop.orders:1|c|#site:north\nshop.paid:%d|ms" % (number % 100))
        udp.send(b"not a metric")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        unix.connect(str(path))
        unix.send(b"shop.open:3|g")
    fleet.wait_rows(f"SELECT 1 FROM stats WHERE key LIKE '%.shop.orders' HAVING sum(value) = {PACKETS}")
    fleet.wait_rows("SELECT 1 FROM stats WHERE key LIKE '%.shop.open'")
    node = fleet.node("one")
    assert node is not None
    assert fleet.rows("SELECT DISTINCT key, kind, tags['site'] FROM stats ORDER BY key") == [
        [f"{node.gid}.{node.nid}.statsd.node.udp.shop.orders", "counter", "north"],
        [f"{node.gid}.{node.nid}.statsd.node.udp.shop.paid", "timer", ""],
        [f"{node.gid}.{node.nid}.statsd.node.unix.shop.open", "gauge", ""],
    ]
    assert fleet.rows("SELECT sum(sum), min(min), max(max) FROM stats WHERE key LIKE '%.shop.paid'") == [
        [PACKETS // 100 * sum(range(100)), 0.0, 99.0]
    ]
    fleet.wait_rows("SELECT 1 FROM losses WHERE table = 'stats' AND reason = 'bad_record' HAVING sum(rows) = 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"shop.last:1|c", ("127.0.0.1", port))
    assert agent.stop() == 0
    assert not path.exists()
    agent.start()
    fleet.wait_rows("SELECT 1 FROM stats WHERE key LIKE '%.shop.last' HAVING sum(value) = 1")
