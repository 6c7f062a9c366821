"""The texts of different kernels are read by what they have; what they lack is 0 or computed from the rest."""

from __future__ import annotations

import pytest

from quarterdeck.agent.usage import proc
from tests.unit.agent.usage import kernels

KIB = 1024


def test_ticks_are_those_of_all_cpus_and_count_interrupts_together() -> None:
    assert proc.cpu_ticks(kernels.NEW_STAT) == {
        "cpu_user": 1000,
        "cpu_nice": 200,
        "cpu_system": 300,
        "cpu_irq": 100,
        "cpu_iowait": 500,
        "cpu_steal": 100,
        "cpu_idle": 4000,
    }


def test_a_kernel_that_knows_no_steal_has_none() -> None:
    assert proc.cpu_ticks(kernels.OLD_STAT)["cpu_steal"] == 0


def test_processes_and_load() -> None:
    assert proc.processes(kernels.NEW_STAT) == {"processes_running": 3, "processes_blocked": 1}
    assert proc.load(kernels.LOADAVG) == {"load_1": 0.5, "load_5": 1.25, "load_15": 2.0}


def test_a_stat_without_the_line_is_refused_by_the_name_of_the_line() -> None:
    with pytest.raises(ValueError, match="procs_running"):
        proc.processes("cpu  1 2 3 4\n")


def test_memory_is_in_bytes() -> None:
    assert proc.memory(kernels.NEW_MEMINFO) == {
        "memory_total": 8_000_000 * KIB,
        "memory_used": 3_000_000 * KIB,
        "memory_available": 5_000_000 * KIB,
        "memory_cached": 3_500_000 * KIB,
        "memory_free": 1_000_000 * KIB,
        "swap_total": 2_000_000 * KIB,
        "swap_used": 500_000 * KIB,
    }


def test_available_memory_is_estimated_where_the_kernel_does_not() -> None:
    assert proc.memory(kernels.OLD_MEMINFO)["memory_available"] == 4_100_000 * KIB


def test_stalls_are_totals_and_cpu_has_no_full_on_older_kernels() -> None:
    assert proc.stalls(kernels.PRESSURE) == {"some": 2_500_000, "full": 500_000}
    assert proc.stalls(kernels.PRESSURE_CPU) == {"some": 1_000_000, "full": 0}


@pytest.mark.parametrize(("text", "name"), [(kernels.NEW_DISKSTATS, "vda"), (kernels.OLD_DISKSTATS, "sda")])
def test_disks_have_their_first_counters_whatever_follows(text: str, name: str) -> None:
    assert proc.disks(text)[name] == {
        "reads": 1000,
        "read_sectors": 8000,
        "read_ms": 700,
        "writes": 2000,
        "written_sectors": 16000,
        "write_ms": 900,
        "busy_ms": 1500,
    }


def test_a_partition_of_an_old_kernel_is_left_out() -> None:
    assert set(proc.disks(kernels.OLD_DISKSTATS)) == {"sda", "cciss/c0d0"}


def test_interfaces_are_read_with_and_without_a_space_and_with_a_colon_in_the_name() -> None:
    found = proc.nics(kernels.NET_DEV)
    assert list(found) == ["lo", "eth0", "eth0:1", "veth12ab"]
    assert found["eth0"] == {
        "received_bytes": 1000,
        "received_packets": 10,
        "errors_in": 1,
        "drops_in": 2,
        "sent_bytes": 500,
        "sent_packets": 5,
        "errors_out": 3,
        "drops_out": 4,
    }
    assert found["eth0:1"]["received_bytes"] == 7
