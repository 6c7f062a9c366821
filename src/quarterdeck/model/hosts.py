"""What a node tells of its host when asked: the answers of the built-in commands, as the JSON in a job's result.

`Facts` (model/nodes.py) are the few of these that every node reports unasked. Sizes are bytes, counters grow from boot.
A number that this platform does not give is left at 0, a text at "".
"""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class Pong(Struct, frozen=True, kw_only=True):
    """`ping`: the agent is there and works jobs off."""

    hostname: str
    agent_version: str
    time: int  #: milliseconds since the epoch, by the node's clock


class CpuInfo(Struct, frozen=True, kw_only=True):
    """`get_cpu_info`. The names of times are the platform's: user, system, idle, iowait, steal …"""

    model: str
    cpus: int  #: logical: what the kernel schedules on
    cores: int  #: physical; 0 when the host does not tell
    load: tuple[float, float, float]  #: average of 1, 5 and 15 minutes
    times_s: dict[str, float]  #: seconds since boot, all CPUs together
    times_per_cpu_s: tuple[dict[str, float], ...]


class MemInfo(Struct, frozen=True, kw_only=True):
    """`get_mem_info`."""

    total: int
    available: int  #: what programs can get without swapping
    used: int
    free: int
    buffers: int
    cached: int
    shared: int
    swap_total: int
    swap_used: int
    swap_free: int
    swapped_in: int  #: bytes since boot, as is the next
    swapped_out: int


class Partition(Struct, frozen=True, kw_only=True):
    """A mounted file system. When it does not answer, `problem` says so and the sizes are 0."""

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
    """A block device, or a part of one, and what was read and written since boot."""

    name: str
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    read_ms: int
    write_ms: int


class DiskInfo(Struct, frozen=True, kw_only=True):
    """`get_disk_info`. File systems without a size (proc, cgroup …) are left out."""

    disks: tuple[Disk, ...]
    partitions: tuple[Partition, ...]


class Nic(Struct, frozen=True, kw_only=True):
    """A network interface and its counters since boot."""

    name: str
    mac: str
    addresses: tuple[str, ...]  #: with prefix length: 10.0.0.7/24, fe80::1/64
    up: bool
    mtu: int
    speed_mbit: int  #: 0 when not known
    sent_bytes: int
    received_bytes: int
    sent_packets: int
    received_packets: int
    errors_in: int
    errors_out: int
    drops_in: int
    drops_out: int


class NicInfo(Struct, frozen=True, kw_only=True):
    """`get_nic_info`."""

    nics: tuple[Nic, ...]


class OsInfo(Struct, frozen=True, kw_only=True):
    """`get_os_info`."""

    hostname: str
    type: str  #: Linux, Windows, Darwin
    distribution: str
    kernel: str
    arch: str
    boot_time: float  #: seconds since the epoch
    uptime_s: float
    timezone: str
    utc_offset_s: int
