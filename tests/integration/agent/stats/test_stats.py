"""Statsd in the agent: sockets, intervals, and their failures."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from quarterdeck.agent.stats.stats import Stats
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.stats import StatsConfig, StatSource
from quarterdeck.model.tables import Table
from tests.support import until


class Node:
    """Runs `Stats` and keeps its rows."""

    def __init__(self, config: StatsConfig) -> None:
        self.rows: list[dict[str, Any]] = []
        self.losses: list[Loss] = []
        self.stats = Stats(
            config,
            outlet=Outlet(emit=self._emit, lose=self.losses.append),
            who=lambda: AgentIdentity(agent_id="a", gid=1, nid=7, serial=""),
        )

    def _emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        stream = pa.ipc.open_stream(zstandard.ZstdDecompressor().decompressobj().decompress(body))
        found = stream.read_all().to_pylist()
        assert len(found) == rows
        self.rows += found
        self.losses += losses

    def sum(self, key: str) -> float:
        return sum(row["value"] for row in self.rows if row["key"] == key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.stats.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await asyncio.to_thread(self.stats.close)


async def test_packets_and_lines_become_rows_each_interval() -> None:
    node = Node(StatsConfig(statsd_udp="127.0.0.1:0", flush_s=0.1))
    async with node.running():
        await until(lambda: "udp" in node.stats.listeners)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"c:2|c", node.stats.listeners["udp"].address)
        node.stats.feed(StatSource(cmd="execute", domain="shop", name="cart"), b"c:1|c\nc:1|c")
        await until(lambda: node.sum("1.7.statsd.node.udp.c") == 2 and node.sum("1.7.execute.shop.cart.c") == 2)
        node.stats.feed(StatSource(cmd="execute"), b"late:5|g")
    assert node.sum("1.7.execute.unknown.unknown.late") == 5
    assert node.stats.listeners == {}
    assert node.losses == []


async def test_without_listeners_lines_are_summed_all_the_same() -> None:
    node = Node(StatsConfig(statsd_udp="", flush_s=0.1))
    async with node.running():
        node.stats.feed(StatSource(cmd="ping"), b"c:1|c")
        await until(lambda: node.rows)
        assert node.stats.listeners == {}
    assert node.rows[0]["interval"] > 0


async def test_a_port_in_use_is_told_once_and_taken_when_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        node = Node(StatsConfig(statsd_udp=f"127.0.0.1:{port}", flush_s=0.1))
        with caplog.at_level(logging.INFO):
            async with node.running():
                for intervals in range(1, 4):  # none but the first may say it
                    node.stats.feed(StatSource(cmd="ping"), b"c:1|c")
                    await until(lambda wanted=intervals: len(node.rows) == wanted)
                assert node.stats.listeners == {}
                other.close()
                await until(lambda: node.stats.listeners)
    assert caplog.text.count("statsd does not listen at 127.0.0.1:") == 1
    assert caplog.text.count("statsd listens by udp") == 1


@pytest.mark.parametrize("address", ["no..host:8125", "192.0.2.1:8125"])
async def test_a_listener_that_cannot_be_had_stops_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    node = Node(StatsConfig(statsd_udp=address, flush_s=0.1))
    async with node.running():
        node.stats.feed(StatSource(cmd="ping"), b"c:1|c")
        await until(lambda: node.rows)
    assert f"statsd does not listen at {address}" in caplog.text


async def test_a_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    node = Node(StatsConfig(statsd_udp="", statsd_unix=str(path)))
    async with node.running():
        await until(path.exists)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"c:1|c", str(path))
    assert node.sum("1.7.statsd.node.unix.c") == 1
    assert not path.exists()
