"""The rows of each table of usage, from the files of the kernel: one collector for each table.

A collector is a function that keeps what it needs for the next measurement, and returns rows without the columns `time`
and `interval`. For counters, its first call returns no row. Owns the choice of disks and interfaces. It keeps no clock
and sends nothing; an unreadable file is the caller's OSError.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quarterdeck.agent.commands.disks import Disks
from quarterdeck.agent.usage import proc
from quarterdeck.agent.usage.growth import Growth
from quarterdeck.agent.usage.mounts import local_mounts
from quarterdeck.model.hosts import Partition
from quarterdeck.model.modules import InstanceStats

#: values of a row by column
Row = Mapping[str, float | str]
#: takes the seconds since the previous call
Collector = Callable[[float], Sequence[Row]]

#: block devices in memory and on files, whose requests are no work of a disk
_NO_DISKS = ("loop", "ram", "zram")
#: loopback, and the ends of containers, whose traffic their bridge has too
_LOOPBACK, _CONTAINER = "lo", "veth"
_SECTOR_BYTES = 512
_MS_NS = 1_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstanceUse:
    """An instance that runs: its module, since when it runs, and its costs and counts since then."""

    module: str
    since: float
    stats: InstanceStats


class Files:
    """The kernel's files below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def text(self, path: str) -> str:
        """Return the text of a file; a path in it that is not UTF-8 stays usable."""
        return (self._root / path).read_text(encoding="utf-8", errors="surrogateescape")

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        return [each.name for each in (self._root / path).iterdir()]


def host(files: Files) -> Collector:
    """Collect CPU, load and memory: the table `host_usage`."""
    before: dict[str, int] = {}

    def collect(_: float) -> Sequence[Row]:
        nonlocal before
        stat = files.text("proc/stat")
        ticks, last = proc.cpu_ticks(stat), before
        before = ticks
        # iowait, and idle with it, can count down a little
        passed = {name: max(0, ticks[name] - last[name]) for name in last}
        total = sum(passed.values())
        if not total:
            return ()
        return (
            {
                **{name: ticks / total for name, ticks in passed.items()},
                **proc.load(files.text("proc/loadavg")),
                **proc.processes(stat),
                **proc.memory(files.text("proc/meminfo")),
                "uptime": round(float(files.text("proc/uptime").split()[0]) * 1e9),
            },
        )

    return collect


def pressure(files: Files) -> Collector:
    """Collect pressure: the table `host_pressure`."""
    growth = Growth()

    def collect(interval_s: float) -> Sequence[Row]:
        try:
            found = {name: proc.stalls(files.text(f"proc/pressure/{name}")) for name in ("cpu", "memory", "io")}
        except OSError:  # a kernel before 4.20, or one that was built or booted without it
            return ()
        return [
            {
                "resource": name,
                "some_ratio": min(1.0, waited["some"] / 1e6 / interval_s),
                "full_ratio": min(1.0, waited["full"] / 1e6 / interval_s),
            }
            for name, waited in growth.since(found).items()
        ]

    return collect


def space(files: Files, disks: Disks) -> Collector:
    """Collect local file systems: the table `disk_usage`. One that does not answer has no row, and is logged once."""
    silent: set[str] = set()

    def collect(_: float) -> Sequence[Row]:
        mounts = local_mounts(files.text("proc/self/mountinfo"), files.text("proc/filesystems"))
        found = disks.partitions(mounts)
        problems = {each.mount_point: each.problem for each in found if each.problem}
        for mount_point in sorted(problems.keys() - silent):
            log.warning("the file system at %s has no rows of usage: %s", mount_point, problems[mount_point])
        silent.clear()
        silent.update(problems)
        return [_space(each) for each in found if not each.problem]

    return collect


def _space(found: Partition) -> Row:
    return {
        "mount_point": found.mount_point,
        "device": found.device,
        "type": found.type,
        "used_ratio": found.used / max(1, found.used + found.free),
        "size": found.size,
        "used": found.used,
        "available": found.free,
        "inodes": found.inodes,
        "inodes_free": found.inodes_free,
    }


def disk_io(files: Files) -> Collector:
    """Collect the requests of disks: the table `disk_io`."""
    growth = Growth(wrapping=proc.DISK_MS)

    def collect(interval_s: float) -> Sequence[Row]:
        found = proc.disks(files.text("proc/diskstats"))
        names = {name.replace("/", "!"): name for name in found}  # as /sys writes them
        whole = [names[each] for each in files.names("sys/block") if each in names and _is_disk(files, each)]
        grown = growth.since({name: found[name] for name in sorted(whole) if any(found[name].values())})
        return [
            {
                "device": name,
                "read_bytes": counted["read_sectors"] * _SECTOR_BYTES,
                "written_bytes": counted["written_sectors"] * _SECTOR_BYTES,
                "reads": counted["reads"],
                "writes": counted["writes"],
                "read_time": counted["read_ms"] * _MS_NS,
                "write_time": counted["write_ms"] * _MS_NS,
                "busy": min(1.0, counted["busy_ms"] / 1000 / interval_s),
            }
            for name, counted in grown.items()
        ]

    return collect


def _is_disk(files: Files, name: str) -> bool:
    """Return whether a block device is built on no other one, as a volume is, and is no memory or file."""
    return not name.startswith(_NO_DISKS) and not files.names(f"sys/block/{name}/slaves")


def nics(files: Files) -> Collector:
    """Collect network interfaces: the table `nic_usage`."""
    growth = Growth()

    def collect(_: float) -> Sequence[Row]:
        found = proc.nics(files.text("proc/net/dev"))
        counted = {
            name: counters for name, counters in found.items() if name != _LOOPBACK and not name.startswith(_CONTAINER)
        }
        return [{"interface": name, **grown} for name, grown in growth.since(counted).items()]

    return collect


def modules(instances: Callable[[], Sequence[InstanceUse]]) -> Collector:
    """Collect the cost of modules: the table `module_usage`. A start of an instance begins at 0."""
    growth = Growth(from_zero=True)

    def collect(_: float) -> Sequence[Row]:
        running = {f"{each.stats.instance_id} {each.since}": each for each in instances()}
        grown = growth.since({run: _counts(each.stats) for run, each in running.items()})
        return [
            {"module": running[run].module, "memory": running[run].stats.memory_bytes, **counted}
            for run, counted in grown.items()
        ]

    return collect


def _counts(stats: InstanceStats) -> dict[str, int]:
    return {
        "kernel_time": stats.kernel_ns,
        "agent_time": stats.agent_ns,
        "runs": stats.runs,
        "missed": stats.missed,
        "records": stats.records,
        "rows": stats.rows,
        "lost": stats.lost,
    }
