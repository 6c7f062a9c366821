"""The facts of a host, read from the kernel and /etc. Quick calls only: no name is resolved, and nothing waits."""

from __future__ import annotations

import ipaddress
import platform
import socket
from pathlib import Path

import psutil

from quarterdeck import __version__
from quarterdeck.keeper.boot import boot_id
from quarterdeck.model.nodes import Facts


def gather_facts(*, ebpf_reason: str = "") -> Facts:
    """Return the current facts. `ebpf_reason`: why modules cannot run on this host; empty when they can."""
    system = platform.uname()
    return Facts(
        hostname=socket.gethostname(),
        os=_os_name(),
        kernel=system.release,
        arch=system.machine,
        cpus=psutil.cpu_count() or 0,
        memory_bytes=psutil.virtual_memory().total,
        addresses=_addresses(),
        machine_id=_line(Path("/etc/machine-id")),
        boot_id=boot_id(),
        agent_version=__version__,
        ebpf=not ebpf_reason,
        ebpf_reason=ebpf_reason,
    )


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:  # a minimal container has no os-release
        return "Linux"


def _addresses() -> tuple[str, ...]:
    """Return IPv4 and IPv6 addresses of every interface, without loopback, IPv4 first."""
    found: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in {socket.AF_INET, socket.AF_INET6}:
                found.add(ipaddress.ip_address(entry.address.partition("%")[0]))
    outward = (address for address in found if not address.is_loopback)
    return tuple(str(address) for address in sorted(outward, key=lambda address: (address.version, int(address))))


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
