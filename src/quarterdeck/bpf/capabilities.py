"""The effective capabilities of this process (capabilities(7)) that concern eBPF, read at each call.

It owns the names and numbers of those capabilities. It changes none.
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
#: capabilities needed to load programs; CAP_SYS_ADMIN grants these to BPF too
LOADING = ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")


def held() -> frozenset[str]:
    """Return those of `BITS` that this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return frozenset(name for name, bit in BITS.items() if effective >> bit & 1)


def missing_for_loading() -> str:
    """Return those of `LOADING` that this process lacks as text, "CAP_BPF, CAP_PERFMON"; empty when it has all."""
    here = held()
    return "" if "CAP_SYS_ADMIN" in here else ", ".join(name for name in LOADING if name not in here)
