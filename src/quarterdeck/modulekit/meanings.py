"""What a column means, read from its C name and type: role, unit, counter or not. Deliberately timid.

A wrong guess is worse than none, so only names that mean one thing in every eBPF tool are known here; the manifest
says the rest. Owns these tables (docs/reference/module-format.md has them in words).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from quarterdeck.model.tables import ColumnRole, ColumnType

#: 64-bit numbers with these names in a ring or perf record are bpf_ktime_get_ns(), or that in the unit that the name
#: ends in: when the event happened.
KTIME_NAMES = frozenset(
    {"ts", "timestamp", "ts_ns", "timestamp_ns", "ktime", "ktime_ns", "ts_us", "timestamp_us", "ts_ms", "timestamp_ms"}
)
#: Numbers with these names are bpf_get_current_pid_tgid(): a process's id in the upper half.
PID_AND_TID_NAMES = frozenset({"pid_tgid", "tgid_pid"})
#: Byte arrays with these names are text even where they are declared `u8[]`.
TEXT_NAMES = frozenset({"comm", "task", "fname", "filename", "path"})
#: Arrays with this name hold a histogram of powers of two: slot i counts values from 2^i.
HISTOGRAM_NAME = "slots"

_UNITS = {"ns": "ns", "us": "us", "ms": "ms", "secs": "s", "bytes": "B", "kb": "KiB", "pages": "pages", "pct": "%"}
_NAMESPACE = re.compile(r"(^|_)(mnt|mount|net|pid|user|uts|ipc|cgroup|cgrp)_ns$")
_INTEGERS = {f"{sign}int{bits}": ColumnType(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}
#: Numbers in a map's value that say which or what or when, and so are not added up.
_IDENTITY = re.compile(
    r"(.*_)?(p|tg|t|u|g|ppid|ns|cg)id|.*_id|id|pid|cpu|dev|ino|inode|type|kind|flags?|mode|state|family|proto(col)?|port"
    r"|[sd]port|lport|rport|.*addr.*|.*ptr|ip|index|idx|key|fd|ret|errno|nice|prio|cookie|ifindex|version|vlan|netns|mntns"
    r"|(.*_)?(ts|timestamp|time|start|end|first|last|seen)(_(ns|us|ms))?|(.*_)?(min|max|avg|mean)(_.*)?|ktime.*|is_.*|has_.*"
)
_SUM = re.compile(r"(^|_)(total|sum|count|cnt|num|nr|hits|bytes)(_|$)")
_EXTREME = re.compile(r"(^|_)(min|max|avg|mean|last|first)(_|$)")
_ROLES: dict[str, tuple[ColumnRole, Collection[ColumnType]]] = {
    "tid": (ColumnRole.TID, _INTEGERS.values()),
    "uid": (ColumnRole.UID, _INTEGERS.values()),
    "comm": (ColumnRole.COMM, {ColumnType.STRING}),
    "cgroup": (ColumnRole.CGROUP, {ColumnType.UINT64}),
    "cgroup_id": (ColumnRole.CGROUP, {ColumnType.UINT64}),
    "cgid": (ColumnRole.CGROUP, {ColumnType.UINT64}),
    "ifindex": (ColumnRole.INTERFACE, _INTEGERS.values()),
}
_EVENT = re.compile(r"(^|_)(event|evt|data|record|sample|msg|info)s?(_t|_\d+|_hdr|_header)?$")


def is_event(name: str) -> bool:
    """Whether a struct of this name is likely to be what a ring or perf buffer carries."""
    return _EVENT.search(name) is not None


def unit_of(name: str) -> str:
    """The unit a name ends in (`delta_us` → us), or ""; `mnt_ns` is a namespace."""
    return _UNITS.get(name.rpartition("_")[2], "") if "_" in name and not _NAMESPACE.search(name) else ""


def role_of(name: str, kind: ColumnType, names: Collection[str]) -> ColumnRole | None:
    """The role of a column among `names`. `pid` is the thread where a `tgid` stands beside it, as the kernel says."""
    if kind in _INTEGERS.values():
        if name == "tgid":
            return ColumnRole.PID
        if name == "pid":
            return ColumnRole.TID if "tgid" in names else ColumnRole.PID
    role, kinds = _ROLES.get(name, (None, ()))
    return role if kind in kinds else None


def is_counter(name: str) -> bool:
    """Whether a number in a map's value counts up, by its name."""
    summed = _SUM.search(name) is not None and _EXTREME.search(name) is None
    return summed or _IDENTITY.fullmatch(name) is None


def stack_side(name: str) -> str:
    """ "kernel" or "user" for the name of a stack id, "" for anything else."""
    found = re.fullmatch(r"(.*_)?(k|kern|kernel|u|usr|user)_*stack(_?id)?", name)
    return "" if found is None else "kernel" if found[2].startswith("k") else "user"
