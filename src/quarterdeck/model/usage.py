"""Usage: what each host and each module on it used in an interval, and the tables that store it.

A column with the role `counter` is an amount in the row's interval, so that it can be summed over rows, nodes and time;
one with the role `gauge` is a level. A share of time or capacity is a ratio from 0 to 1. What a kernel does not measure
has no row, because columns cannot be null.
"""

from __future__ import annotations

from quarterdeck.model.durations import Seconds
from quarterdeck.model.errors import BadConfig
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table

#: the shortest `interval_s`; every interval makes a batch of each table
MIN_INTERVAL_S = 1.0
_RETENTION_S = 30 * 86400


class UsageConfig(Struct, frozen=True, kw_only=True):
    """Settings of how the agent measures what its host and modules use."""

    interval_s: Seconds = 15.0  #: interval of the rows in the tables of usage, at least 1; 0: off

    def __post_init__(self) -> None:
        if not (self.interval_s == 0 or self.interval_s >= MIN_INTERVAL_S):
            expected = f"0 (off) or at least {MIN_INTERVAL_S:g} (seconds)"
            raise BadConfig(f"usage.interval_s: expected {expected}, found {self.interval_s:g}.")


_TIME = Column(name="time", type=ColumnType.TIMESTAMP, role=ColumnRole.TIME, description="the end of the interval")
_INTERVAL = Column(name="interval", type=ColumnType.DURATION, unit="ns", description="length of the interval")


def _gauge(name: str, unit: str, description: str) -> Column:
    kind = ColumnType.FLOAT64 if unit in {"", "ratio"} else ColumnType.UINT64
    return Column(name=name, type=kind, unit=unit, role=ColumnRole.GAUGE, description=description)


def _counter(name: str, unit: str, description: str) -> Column:
    kind = ColumnType.DURATION if unit == "ns" else ColumnType.UINT64
    return Column(name=name, type=kind, unit=unit, role=ColumnRole.COUNTER, description=description)


def _text(name: str, description: str) -> Column:
    return Column(name=name, type=ColumnType.STRING, description=description)


HOST_USAGE_TABLE = Table(
    name="host_usage",
    description="CPU, load and memory of each host, a row for each interval",
    retention_s=_RETENTION_S,
    columns=(
        _TIME,
        _INTERVAL,
        _gauge("cpu_user", "ratio", "share of the time of all CPUs in programs of usual priority, guests included"),
        _gauge("cpu_nice", "ratio", "in programs of low priority (nice)"),
        _gauge("cpu_system", "ratio", "in the kernel, without interrupts"),
        _gauge("cpu_irq", "ratio", "in interrupts and soft interrupts"),
        _gauge("cpu_iowait", "ratio", "idle while a program waited for a disk"),
        _gauge("cpu_steal", "ratio", "used by other guests of the hypervisor"),
        _gauge("cpu_idle", "ratio", "idle; the seven shares add up to 1"),
        _gauge("load_1", "", "load average over 1 minute"),
        _gauge("load_5", "", "load average over 5 minutes"),
        _gauge("load_15", "", "load average over 15 minutes"),
        _gauge("processes_running", "processes", "threads that run or wait for a CPU"),
        _gauge("processes_blocked", "processes", "threads that wait for a disk"),
        _gauge("memory_total", "bytes", "memory of the host"),
        _gauge("memory_used", "bytes", "memory_total - memory_available"),
        _gauge("memory_available", "bytes", "what programs can allocate without swapping"),
        _gauge("memory_cached", "bytes", "page cache, buffers and kernel caches that can be freed"),
        _gauge("memory_free", "bytes", "what nothing uses"),
        _gauge("swap_total", "bytes", "swap of the host"),
        _gauge("swap_used", "bytes", "swap in use"),
        Column(
            name="uptime", type=ColumnType.DURATION, unit="ns", role=ColumnRole.GAUGE, description="time since the boot"
        ),
    ),
)

HOST_PRESSURE_TABLE = Table(
    name="host_pressure",
    description="Pressure stall information (PSI) of each host, a row for each resource and interval; "
    "none from a kernel without it",
    retention_s=_RETENTION_S,
    order=("nid", "resource", "time"),
    columns=(
        _TIME,
        _INTERVAL,
        _text("resource", "cpu, memory or io"),
        _gauge("some_ratio", "ratio", "share of the interval in which at least one program waited for the resource"),
        _gauge("full_ratio", "ratio", "share in which all programs that were not idle waited; 0 for cpu"),
    ),
)

DISK_USAGE_TABLE = Table(
    name="disk_usage",
    description="Space and inodes of each local file system, a row for each interval",
    retention_s=_RETENTION_S,
    order=("nid", "mount_point", "time"),
    columns=(
        _TIME,
        _INTERVAL,
        _text("mount_point", "where it is mounted; the shortest path if at several places"),
        _text("device", "what is mounted, such as /dev/sda1"),
        _text("type", "type of the file system, such as ext4"),
        _gauge("used_ratio", "ratio", "used / (used + available), as df shows it"),
        _gauge("size", "bytes", "size of the file system"),
        _gauge("used", "bytes", "used space"),
        _gauge("available", "bytes", "space that ordinary users can write"),
        _gauge("inodes", "inodes", "number of inodes; 0 if the file system has no fixed number"),
        _gauge("inodes_free", "inodes", "unused inodes"),
    ),
)

DISK_IO_TABLE = Table(
    name="disk_io",
    description="Reads and writes of each disk, a row for each interval",
    retention_s=_RETENTION_S,
    order=("nid", "device", "time"),
    columns=(
        _TIME,
        _INTERVAL,
        _text("device", "name of the disk, such as sda; partitions and volumes are counted in their disks"),
        _counter("read_bytes", "bytes", "bytes read"),
        _counter("written_bytes", "bytes", "bytes written"),
        _counter("reads", "operations", "completed reads"),
        _counter("writes", "operations", "completed writes"),
        _counter("read_time", "ns", "sum of the times that the reads took; / reads is their mean latency"),
        _counter("write_time", "ns", "sum of the times that the writes took"),
        _gauge("busy", "ratio", "share of the interval in which the disk had requests"),
    ),
)

NIC_USAGE_TABLE = Table(
    name="nic_usage",
    description="Traffic of each network interface, a row for each interval",
    retention_s=_RETENTION_S,
    order=("nid", "interface", "time"),
    columns=(
        _TIME,
        _INTERVAL,
        _text("interface", "name of the interface; loopback and ends of containers (veth) are left out"),
        _counter("received_bytes", "bytes", "bytes received"),
        _counter("sent_bytes", "bytes", "bytes sent"),
        _counter("received_packets", "packets", "packets received"),
        _counter("sent_packets", "packets", "packets sent"),
        _counter("errors_in", "errors", "received packets that were broken"),
        _counter("errors_out", "errors", "packets that could not be sent"),
        _counter("drops_in", "drops", "received packets that were dropped"),
        _counter("drops_out", "drops", "packets to send that were dropped"),
    ),
)

MODULE_USAGE_TABLE = Table(
    name="module_usage",
    description="Cost and rows of each running module on a node, a row for each interval",
    retention_s=_RETENTION_S,
    order=("nid", "module", "time"),
    columns=(
        _TIME,
        _INTERVAL,
        _text("module", "name of the module"),
        _counter("kernel_time", "ns", "run time of its programs in the kernel; / interval is the share of one CPU"),
        _counter("agent_time", "ns", "CPU time of the agent for it"),
        _counter("runs", "runs", "runs of its programs"),
        _counter("missed", "runs", "runs that the kernel skipped (recursion)"),
        _counter("records", "records", "records or map entries read"),
        _counter("rows", "rows", "rows that it made"),
        _counter("lost", "rows", "rows that were lost; table losses has the reasons"),
        _gauge("memory", "bytes", "memory of its maps and programs in the kernel"),
    ),
)

USAGE_TABLES = (
    HOST_USAGE_TABLE,
    HOST_PRESSURE_TABLE,
    DISK_USAGE_TABLE,
    DISK_IO_TABLE,
    NIC_USAGE_TABLE,
    MODULE_USAGE_TABLE,
)
