"""The texts of /proc as numbers, by the names of the columns of the tables of usage.

proc(5) describes the texts. Kernels differ in the fields that they have at the end of a line; what one does not have is
0. Counters count from the boot, or from the appearance of their device. This module reads no file.
"""

from __future__ import annotations

from collections.abc import Mapping

#: the places in the line `cpu` of /proc/stat whose ticks are added up for each column; guests are part of user and nice
_CPU_STATES: Mapping[str, tuple[int, ...]] = {
    "cpu_user": (0,),
    "cpu_nice": (1,),
    "cpu_system": (2,),
    "cpu_irq": (5, 6),
    "cpu_iowait": (4,),
    "cpu_steal": (7,),
    "cpu_idle": (3,),
}
#: names of numbers of /proc/diskstats after the name of the device; those in ms are 32 bits wide, others 64
_DISK_FIELDS = ("reads", "", "read_sectors", "read_ms", "writes", "", "written_sectors", "write_ms", "", "busy_ms")
DISK_MS = frozenset({"read_ms", "write_ms", "busy_ms"})
#: of /proc/net/dev after the name of the interface
_NIC_FIELDS = ("received_bytes", "received_packets", "errors_in", "drops_in", "", "", "", "",
               "sent_bytes", "sent_packets", "errors_out", "drops_out")  # fmt: skip
_KIB = 1024


def cpu_ticks(stat: str) -> dict[str, int]:
    """Return the ticks of all CPUs together in each state, from /proc/stat."""
    ticks = [int(each) for each in _after(stat, "cpu ").split()]
    return {name: sum(ticks[at] for at in places if at < len(ticks)) for name, places in _CPU_STATES.items()}


def processes(stat: str) -> dict[str, int]:
    """Return how many threads run and wait for a disk, from /proc/stat."""
    return {
        "processes_running": int(_after(stat, "procs_running ")),
        "processes_blocked": int(_after(stat, "procs_blocked ")),
    }


def load(loadavg: str) -> dict[str, float]:
    """Return the load averages, from /proc/loadavg."""
    one, five, fifteen = loadavg.split()[:3]
    return {"load_1": float(one), "load_5": float(five), "load_15": float(fifteen)}


def memory(meminfo: str) -> dict[str, int]:
    """Return bytes of memory and swap, from /proc/meminfo."""
    found = {
        name: int(value.split()[0]) * _KIB for name, _, value in (line.partition(":") for line in meminfo.splitlines())
    }
    cached = sum(found.get(name, 0) for name in ("Buffers", "Cached", "SReclaimable"))
    total, free = found["MemTotal"], found["MemFree"]
    available = min(total, found.get("MemAvailable", free + cached))  # before Linux 3.14
    return {
        "memory_total": total,
        "memory_used": total - available,
        "memory_available": available,
        "memory_cached": cached,
        "memory_free": free,
        "swap_total": found.get("SwapTotal", 0),
        "swap_used": found.get("SwapTotal", 0) - found.get("SwapFree", 0),
    }


def stalls(pressure: str) -> dict[str, int]:
    """Return the microseconds since the boot in which `some` and `full` waited, from a file of /proc/pressure."""
    totals = {line.split()[0]: int(line.rpartition("total=")[2]) for line in pressure.splitlines()}
    return {"some": totals["some"], "full": totals.get("full", 0)}


def disks(diskstats: str) -> dict[str, dict[str, int]]:
    """Return the counters of each block device, by its name, from /proc/diskstats."""
    return {
        fields[2]: _named(_DISK_FIELDS, fields[3:])
        for fields in map(str.split, diskstats.splitlines())
        if len(fields) >= 3 + len(_DISK_FIELDS)  # partitions had fewer before Linux 2.6.25
    }


def nics(net_dev: str) -> dict[str, dict[str, int]]:
    """Return the counters of each network interface, by its name, from /proc/net/dev."""
    lines = (line.rpartition(":") for line in net_dev.splitlines()[2:])
    return {name.strip(): _named(_NIC_FIELDS, numbers.split()) for name, _, numbers in lines}


def _named(names: tuple[str, ...], numbers: list[str]) -> dict[str, int]:
    return {name: int(number) for name, number in zip(names, numbers, strict=False) if name}


def _after(text: str, start: str) -> str:
    """Return the rest of the line that begins with `start`."""
    for line in text.splitlines():
        if line.startswith(start):
            return line.removeprefix(start)
    raise ValueError(f"expected a line '{start}…', found none")
