"""What the kernel lets this process do with eBPF: its effective capabilities (capabilities(7)), read when asked.

Owns the names and numbers of those that matter here. Changes none.
"""

from __future__ import annotations

from pathlib import Path

#: bit numbers of linux/capability.h
BITS = {
    "CAP_BPF": 39,
    "CAP_PERFMON": 38,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_PTRACE": 19,
}
#: what loading programs needs; to BPF, CAP_SYS_ADMIN grants these too
LOADING = ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")


def held() -> frozenset[str]:
    """Those of `BITS` that this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return frozenset(name for name, bit in BITS.items() if effective >> bit & 1)


def missing_for_loading() -> str:
    """Those of `LOADING` that this process lacks, as words: "CAP_BPF, CAP_PERFMON"; empty when it has all."""
    here = held()
    return "" if "CAP_SYS_ADMIN" in here else ", ".join(name for name in LOADING if name not in here)
