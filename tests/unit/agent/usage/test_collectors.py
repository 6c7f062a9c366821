"""Each collector returns the rows of an interval from the files of a kernel, whatever it has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent.commands.disks import Disks
from quarterdeck.agent.usage import collectors
from quarterdeck.agent.usage.collectors import Files, InstanceUse, Row
from quarterdeck.model.hosts import Partition
from quarterdeck.model.modules import InstanceStats
from tests.unit.agent.usage import kernels
from tests.unit.agent.usage.kernels import new_kernel, old_kernel, write


def by(rows: Sequence[Row], column: str) -> dict[str, dict[str, float | str]]:
    return {str(row[column]): {name: value for name, value in row.items() if name != column} for row in rows}


def measured(partition: Partition) -> Partition:
    if partition.mount_point == "/home":
        return msgspec.structs.replace(partition, problem="it did not answer within 2 s")
    return msgspec.structs.replace(partition, size=1000, used=300, free=600, inodes=50, inodes_used=10, inodes_free=40)


def test_cpu_shares_are_of_the_interval_and_add_up_to_one(tmp_path: Path) -> None:
    new_kernel(tmp_path)
    collect = collectors.host(Files(tmp_path))
    assert collect(15.0) == ()
    write(tmp_path, {"proc/stat": kernels.NEW_STAT.replace("cpu  1000 200 300 4000", "cpu  1020 200 310 4070")})
    (row,) = collect(15.0)
    shares = {name: value for name, value in row.items() if name.startswith("cpu_")}
    assert shares == {
        "cpu_user": 0.2,
        "cpu_nice": 0,
        "cpu_system": 0.1,
        "cpu_irq": 0,
        "cpu_iowait": 0,
        "cpu_steal": 0,
        "cpu_idle": 0.7,
    }
    assert (row["load_5"], row["processes_blocked"], row["uptime"]) == (1.25, 1, 3_600_500_000_000)


def test_idle_time_that_counts_down_is_none(tmp_path: Path) -> None:
    new_kernel(tmp_path)
    collect = collectors.host(Files(tmp_path))
    collect(15.0)
    write(tmp_path, {"proc/stat": kernels.NEW_STAT.replace("cpu  1000 200 300 4000 500", "cpu  1010 200 310 4000 490")})
    (row,) = collect(15.0)
    assert (row["cpu_user"], row["cpu_system"], row["cpu_iowait"]) == (0.5, 0.5, 0)


def test_pressure_is_the_share_of_the_interval(tmp_path: Path) -> None:
    new_kernel(tmp_path)
    collect = collectors.pressure(Files(tmp_path))
    assert collect(10.0) == []
    later = kernels.PRESSURE.replace("total=2500000", "total=5000000").replace("total=500000\n", "total=1500000\n")
    write(tmp_path, {"proc/pressure/io": later})
    assert by(collect(10.0), "resource") == {
        "cpu": {"some_ratio": 0, "full_ratio": 0},
        "memory": {"some_ratio": 0, "full_ratio": 0},
        "io": {"some_ratio": 0.25, "full_ratio": 0.1},
    }


def test_a_kernel_without_pressure_has_no_rows_of_it(tmp_path: Path) -> None:
    old_kernel(tmp_path)
    collect = collectors.pressure(Files(tmp_path))
    assert [collect(1.0), collect(1.0)] == [(), ()]


def test_local_file_systems_have_rows_and_one_that_does_not_answer_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_kernel(tmp_path)
    collect = collectors.space(Files(tmp_path), Disks(measure=measured))
    with caplog.at_level(logging.WARNING):
        found = [by(collect(1.0), "mount_point") for _ in range(2)][1]
    assert list(found) == ["/", "/hidden", "/my data", "/tank/a"]
    assert found["/my data"] == {
        "device": "/dev/vda2",
        "type": "ext4",
        "used_ratio": pytest.approx(1 / 3),
        "size": 1000,
        "used": 300,
        "available": 600,
        "inodes": 50,
        "inodes_free": 40,
    }
    assert [each.message for each in caplog.records] == [
        "the file system at /home has no rows of usage: it did not answer within 2 s"
    ]


def test_disks_have_rows_and_partitions_volumes_and_files_have_none(tmp_path: Path) -> None:
    new_kernel(tmp_path)
    collect = collectors.disk_io(Files(tmp_path))
    assert collect(2.0) == []
    write(
        tmp_path,
        {
            "proc/diskstats": kernels.NEW_DISKSTATS.replace(
                "vda 1000 10 8000 700 2000 20 16000 900 0 1500",
                "vda 1004 10 8032 720 2001 20 16002 901 0 2500",
            )
        },
    )
    assert by(collect(2.0), "device") == {
        "vda": {
            "read_bytes": 32 * 512,
            "written_bytes": 2 * 512,
            "reads": 4,
            "writes": 1,
            "read_time": 20_000_000,
            "write_time": 1_000_000,
            "busy": 0.5,
        }
    }


def test_a_disk_whose_name_has_a_slash_is_found(tmp_path: Path) -> None:
    old_kernel(tmp_path)
    collect = collectors.disk_io(Files(tmp_path))
    collect(1.0)
    assert list(by(collect(1.0), "device")) == ["cciss/c0d0", "sda"]


def test_interfaces_come_and_go(tmp_path: Path) -> None:
    new_kernel(tmp_path)
    collect = collectors.nics(Files(tmp_path))
    assert collect(1.0) == []
    later = kernels.NET_DEV.replace("eth0:1000 10", "eth0:1500 11").replace("eth0:1: 7", "wg0: 7")
    write(tmp_path, {"proc/net/dev": later})
    found = by(collect(1.0), "interface")
    assert list(found) == ["eth0"]
    assert (found["eth0"]["received_bytes"], found["eth0"]["received_packets"], found["eth0"]["sent_bytes"]) == (
        500,
        1,
        0,
    )
    assert list(by(collect(1.0), "interface")) == ["eth0", "wg0"]


def test_the_cost_of_a_module_is_of_the_interval_also_after_its_restart() -> None:
    stats = InstanceStats(instance_id="i", kernel_ns=100, agent_ns=10, runs=5, rows=7, memory_bytes=4096)
    running = [InstanceUse(module="execs", since=1.0, stats=stats)]
    collect = collectors.modules(lambda: running)
    (first,) = collect(1.0)
    assert (first["module"], first["kernel_time"], first["rows"], first["memory"]) == ("execs", 100, 7, 4096)
    stats = msgspec.structs.replace(stats, kernel_ns=150, runs=6)
    running = [InstanceUse(module="execs", since=1.0, stats=stats)]
    (second,) = collect(1.0)
    assert (second["kernel_time"], second["agent_time"], second["runs"], second["rows"]) == (50, 0, 1, 0)
    running = [InstanceUse(module="execs", since=9.0, stats=msgspec.structs.replace(stats, kernel_ns=160))]
    (third,) = collect(1.0)
    assert (third["kernel_time"], third["rows"]) == (160, 7)
    running = []
    assert collect(1.0) == []
