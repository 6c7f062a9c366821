"""The usage of this machine, as its kernel states it, and of a module that runs on it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import zstandard

from quarterdeck.agent.usage.usage import Usage
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss
from quarterdeck.model.tables import Table
from quarterdeck.model.usage import UsageConfig
from tests.support import require, until


class Sent:
    """The rows that were sent, by table."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.lost: list[Loss] = []
        self.nics: set[str] = set()  #: those that were there all the time
        self.outlet = Outlet(emit=self._emit, lose=self.lost.append)

    def _emit(self, table: Table, rows: int, body: bytes, _module: str, _losses: Sequence[Loss]) -> None:
        content = pa.ipc.open_stream(zstandard.decompress(body)).read_all()
        content.validate(full=True)
        assert content.num_rows == rows
        self.rows.setdefault(table.name, []).extend(content.to_pylist())


def nics() -> set[str]:
    return set(psutil.net_io_counters(pernic=True, nowrap=False))


@pytest.fixture
def sent() -> Sent:
    """Measure this machine twice, with work in between."""
    sent = Sent()
    sent.nics = nics()
    usage = Usage(UsageConfig(), outlet=sent.outlet, instances=lambda: ())
    usage.measure()
    ticks = sum(psutil.cpu_times())
    while sum(psutil.cpu_times()) < ticks + 0.2:  # the kernel counts in ticks
        time.sleep(0.01)
    usage.measure()
    sent.nics &= nics()
    assert sent.lost == []
    return sent


def test_cpu_and_memory_are_those_of_the_kernel(sent: Sent) -> None:
    (row,) = sent.rows["host_usage"]
    shares = [value for name, value in row.items() if name.startswith("cpu_")]
    assert len(shares) == 7
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    assert row["memory_total"] == psutil.virtual_memory().total
    assert 0 < row["memory_free"] <= row["memory_total"]
    assert row["memory_used"] + row["memory_available"] == row["memory_total"]
    assert row["swap_total"] == psutil.swap_memory().total
    assert 0 < row["uptime"] <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert row["interval"] > 0


def test_pressure_is_there_if_the_kernel_has_it(sent: Sent) -> None:
    require(Path("/proc/pressure/io").exists(), "this kernel has no pressure stall information")
    assert [row["resource"] for row in sent.rows["host_pressure"]] == ["cpu", "memory", "io"]
    assert all(0 <= row[name] <= 1 for row in sent.rows["host_pressure"] for name in ("some_ratio", "full_ratio"))


def test_the_root_file_system_has_the_size_that_it_states(sent: Sent) -> None:
    rows = {row["mount_point"]: row for row in sent.rows["disk_usage"]}
    status = os.statvfs("/")
    assert rows["/"]["size"] == status.f_blocks * status.f_frsize
    assert rows["/"]["inodes"] == status.f_files
    assert 0 < rows["/"]["used_ratio"] <= 1


def test_disks_and_interfaces_are_those_of_the_kernel(sent: Sent) -> None:
    disks = {row["device"] for row in sent.rows.get("disk_io", ())}
    assert disks <= {path.name.replace("!", "/") for path in Path("/sys/block").iterdir()}
    assert not any(name.startswith(("loop", "ram")) for name in disks)
    interfaces = {row["interface"] for row in sent.rows.get("nic_usage", ())}
    assert interfaces >= {name for name in sent.nics if name != "lo" and not name.startswith("veth")}
    assert "lo" not in interfaces


async def test_it_measures_every_interval_until_it_is_ended() -> None:
    sent = Sent()
    usage = Usage(UsageConfig(interval_s=1.0), outlet=sent.outlet, instances=lambda: ())
    running = asyncio.create_task(usage.run())
    await until(lambda: len(sent.rows.get("host_usage", ())) >= 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    first, second = sent.rows["host_usage"][:2]
    assert first["interval"] >= 10**9
    assert second["time"] > first["time"]
