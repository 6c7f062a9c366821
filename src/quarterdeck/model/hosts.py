"""Information about a node's host: the answers of the built-in commands, as the JSON in a job's result.

`Facts` (model/nodes.py) holds the few values that every node reports without a command. Sizes are bytes; counters
start at boot. A number that the platform does not provide is 0, a text "".
"""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class Pong(Struct, frozen=True, kw_only=True):
    """The answer of `ping`: the agent is running and executes jobs."""

    hostname: str
    agent_version: str
    time: int  #: milliseconds since the epoch, by the node's clock


class CpuInfo(Struct, frozen=True, kw_only=True):
    """The answer of `get_cpu_info`. The names of times are the platform's: user, system, idle, iowait, steal …"""

    model: str
    cpus: int  #: logical CPUs, on which the kernel schedules
    cores: int  #: physical cores; 0 when the host does not report them
    load: tuple[float, float, float]  #: averages over 1, 5 and 15 minutes
    times_s: dict[str, float]  #: seconds since boot, all CPUs together
    times_per_cpu_s: tuple[dict[str, float], ...]


class MemInfo(Struct, frozen=True, kw_only=True):
    """The answer of `get_mem_info`."""

    total: int
    available: int  #: memory that programs can allocate without swapping
    used: int
    free: int
    buffers: int
    cached: int
    shared: int
    swap_total: int
    swap_used: int
    swap_free: int
    swapped_in: int  #: bytes since boot
    swapped_out: int  #: bytes since boot


class Partition(Struct, frozen=True, kw_only=True):
    """A mounted file system. When it does not respond, `problem` gives the reason and the sizes are 0."""

    device: str
    mount_point: str
    type: str
    options: str
    size: int = 0
    used: int = 0
    free: int = 0  #: for ordinary users
    inodes: int = 0
    inodes_used: int = 0
    inodes_free: int = 0
    problem: str = ""


class Disk(Struct, frozen=True, kw_only=True):
    """A block device or a partition, and its reads and writes since boot."""

    name: str
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    read_ms: int
    write_ms: int


class DiskInfo(Struct, frozen=True, kw_only=True):
    """The answer of `get_disk_info`. File systems without a size (proc, cgroup …) are omitted."""

    disks: tuple[Disk, ...]
    partitions: tuple[Partition, ...]


class Nic(Struct, frozen=True, kw_only=True):
    """A network interface and its counters since boot."""

    name: str
    mac: str
    addresses: tuple[str, ...]  #: with prefix length: 10.0.0.7/24, fe80::1/64
    up: bool
    mtu: int
    speed_mbit: int  #: 0 when unknown
    sent_bytes: int
    received_bytes: int
    sent_packets: int
    received_packets: int
    errors_in: int
    errors_out: int
    drops_in: int
    drops_out: int


class NicInfo(Struct, frozen=True, kw_only=True):
    """The answer of `get_nic_info`."""

    nics: tuple[Nic, ...]


class OsInfo(Struct, frozen=True, kw_only=True):
    """The answer of `get_os_info`."""

    hostname: str
    type: str  #: Linux, Windows, Darwin
    distribution: str
    kernel: str
    arch: str
    boot_time: float  #: seconds since the epoch
    uptime_s: float
    timezone: str
    utc_offset_s: int
