"""Facts and load of the host: CPUs, memory, system and network, for the commands `get_…_info`. Quick calls only.

Disks are in `disks.py`: they may hang.
"""

from __future__ import annotations

import ipaddress
import platform
import socket
import time
from pathlib import Path

import psutil

from quarterdeck import __version__
from quarterdeck.model.hosts import CpuInfo, MemInfo, Nic, NicInfo, OsInfo, Pong

_ZONES = "zoneinfo/"
_IP = frozenset({socket.AF_INET, socket.AF_INET6})


def pong() -> Pong:
    """Return the answer of `ping`."""
    return Pong(hostname=socket.gethostname(), agent_version=__version__, time=int(time.time() * 1000))


def cpu_info() -> CpuInfo:
    """Return the CPUs and their load."""
    return CpuInfo(
        model=_cpu_model(),
        cpus=psutil.cpu_count() or 0,
        cores=psutil.cpu_count(logical=False) or 0,
        load=psutil.getloadavg(),
        times_s=psutil.cpu_times()._asdict(),
        times_per_cpu_s=tuple(times._asdict() for times in psutil.cpu_times(percpu=True)),
    )


def mem_info() -> MemInfo:
    """Return memory and swap."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return MemInfo(
        total=memory.total,
        available=memory.available,
        used=memory.used,
        free=memory.free,
        buffers=getattr(memory, "buffers", 0),
        cached=getattr(memory, "cached", 0),
        shared=getattr(memory, "shared", 0),
        swap_total=swap.total,
        swap_used=swap.used,
        swap_free=swap.free,
        swapped_in=swap.sin,
        swapped_out=swap.sout,
    )


def os_info() -> OsInfo:
    """Return the system and its uptime."""
    system, boot = platform.uname(), psutil.boot_time()
    return OsInfo(
        hostname=socket.gethostname(),
        type=system.system,
        distribution=_distribution(),
        kernel=system.release,
        arch=system.machine,
        boot_time=boot,
        uptime_s=max(0.0, time.time() - boot),
        timezone=_timezone(),
        utc_offset_s=time.localtime().tm_gmtoff,
    )


def nic_info() -> NicInfo:
    """Return every network interface, by name."""
    all_addresses, states = psutil.net_if_addrs(), psutil.net_if_stats()
    counters = psutil.net_io_counters(pernic=True)
    nics: list[Nic] = []
    for name in sorted(all_addresses.keys() | states):
        addresses, state, counter = all_addresses.get(name, []), states.get(name), counters.get(name)
        nic = Nic(
            name=name,
            mac=next((one.address for one in addresses if one.family == psutil.AF_LINK), ""),
            addresses=tuple(_with_prefix(one.address, one.netmask) for one in addresses if one.family in _IP),
            up=state.isup if state else False,
            mtu=state.mtu if state else 0,
            speed_mbit=state.speed if state else 0,
            sent_bytes=counter.bytes_sent if counter else 0,
            received_bytes=counter.bytes_recv if counter else 0,
            sent_packets=counter.packets_sent if counter else 0,
            received_packets=counter.packets_recv if counter else 0,
            errors_in=counter.errin if counter else 0,
            errors_out=counter.errout if counter else 0,
            drops_in=counter.dropin if counter else 0,
            drops_out=counter.dropout if counter else 0,
        )
        nics.append(nic)
    return NicInfo(nics=tuple(nics))


def _with_prefix(address: str, netmask: str | None) -> str:
    """Return the address with its prefix length; a missing mask, as on some platforms, means a single host."""
    plain = ipaddress.ip_address(address.partition("%")[0])
    bits = int(ipaddress.ip_address(netmask)).bit_count() if netmask else plain.max_prefixlen
    return f"{plain}/{bits}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:  # a minimal container, or not Linux
        return platform.system()


def _timezone() -> str:
    """Return a name such as Europe/Brussels where the system has one, else the abbreviation."""
    try:
        zone = str(Path("/etc/localtime").resolve())
    except OSError:
        zone = ""
    return zone.partition(_ZONES)[2] or time.strftime("%Z")
