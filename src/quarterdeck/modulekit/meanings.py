"""The meaning of columns, derived from their C names and types: role, unit, counter or not. It is cautious by intent.

A wrong guess is worse than none, so it knows only names that have one meaning in every eBPF tool; the manifest defines
the others. It owns these tables, which docs/reference/module-format.md describes.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from quarterdeck.model.tables import ColumnRole, ColumnType

#: 64-bit numbers with these names in a ring or perf record are times of the event: bpf_ktime_get_ns(), in the unit at
#: the end of the name
KTIME_NAMES = frozenset(
    {"ts", "timestamp", "ts_ns", "timestamp_ns", "ktime", "ktime_ns", "ts_us", "timestamp_us", "ts_ms", "timestamp_ms"}
)
#: numbers with these names are bpf_get_current_pid_tgid(): a process id in the upper half
PID_AND_TID_NAMES = frozenset({"pid_tgid", "tgid_pid"})
#: byte arrays with these names are text even if they are declared `u8[]`
TEXT_NAMES = frozenset({"comm", "task", "fname", "filename", "path"})
#: an array with this name holds a histogram of powers of two: slot i counts values from 2^i
HISTOGRAM_NAME = "slots"

#: names of types, in C and elsewhere → the column's type
C_TYPES = {
    **{f"{prefix}{bits}": f"uint{bits}" for prefix in ("u", "__u") for bits in (8, 16, 32, 64)},
    **{f"{prefix}{bits}": f"int{bits}" for prefix in ("s", "i", "__s") for bits in (8, 16, 32, 64)},
    **{f"{sign}int{bits}_t": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("char", "signed char"), "int8") | dict.fromkeys(("unsigned char", "byte"), "uint8"),
    **dict.fromkeys(("short", "short int"), "int16") | dict.fromkeys(("unsigned short", "ushort"), "uint16"),
    **dict.fromkeys(("int", "integer", "signed int"), "int32"),
    **dict.fromkeys(("unsigned", "unsigned int", "uint"), "uint32"),
    **dict.fromkeys(("long", "long long", "long int", "ssize_t"), "int64"),
    **dict.fromkeys(("unsigned long", "unsigned long long", "ulong", "size_t"), "uint64"),
    "float": "float32",
    "double": "float64",
    "boolean": "bool",
    "_Bool": "bool",
    **dict.fromkeys(("str", "text", "char[]", "varchar", "utf8"), "string"),
    **dict.fromkeys(("bytes", "blob", "hex"), "binary"),
    **dict.fromkeys(("time", "timestamp", "datetime", "ktime"), "timestamp_ns"),
    **dict.fromkeys(("duration", "interval"), "duration_ns"),
    "ip": "ipv4",
    "ip4": "ipv4",
    "ip6": "ipv6",
    "array": "list",
}

_UNITS = {"ns": "ns", "us": "us", "ms": "ms", "secs": "s", "bytes": "B", "kb": "KiB", "pages": "pages", "pct": "%"}
_TIMES = frozenset({"ns", "us", "ms", "s"})
_NAMESPACE = re.compile(r"(^|_)(mnt|mount|net|pid|user|uts|ipc|cgroup|cgrp)_ns$")
_INTEGERS = {f"{sign}int{bits}": ColumnType(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}
#: numbers in a map's value that identify something or are times, and so are not added up
_IDENTITY = re.compile(
    r"(.*_)?(p|tg|t|u|g|ppid|ns|cg)id|.*_id|id|pid|cpu|dev|ino|inode|type|kind|flags?|mode|state|family|proto(col)?|port"
    r"|[sd]port|lport|rport|.*addr.*|.*ptr|ip|index|idx|key|fd|ret|errno|nice|prio|cookie|ifindex|version|vlan|netns|mntns"
    r"|(.*_)?(ts|timestamp|time|start|end|first|last|seen)(_(ns|us|ms))?|(.*_)?(min|max|avg|mean)(_.*)?|ktime.*|is_.*|has_.*"
    r"|(last|prev|previous|cur|curr|current|old|new|first|next)(_.*)?"
)
#: words in names of numbers that were added up
_SUMS = frozenset({"total", "totals", "sum", "hits", "cumulative", "accumulated"})
#: words in names of counts; `rtt_count` is the number of a gauge's samples
_COUNTS = frozenset({"count", "counts", "cnt", "num", "nr", "samples", "calls", "events", "packets", "pkts"})
_EXTREMES = frozenset({"min", "max", "avg", "mean", "last", "first", "peak", "cur", "curr", "current", "prev"})
#: words in names of gauges: sizes, places, measurements, shares
_GAUGES = frozenset(
    {"rtt", "srtt", "rttvar", "mdev", "rto", "cwnd", "ssthresh", "wnd", "rwnd", "window", "mss", "mtu", "pmtu", "ttl"}
    | {"size", "sz", "len", "length", "rss", "vsz", "vss", "pss", "qlen", "depth", "level", "status", "seq", "seqno"}
    | {"sequence", "position", "pos", "offset", "sector", "lba", "util", "utilization", "temp", "temperature", "freq"}
    | {"frequency", "limit", "threshold", "quota", "weight", "priority", "rate", "ratio", "speed", "bandwidth", "bw"}
    | {"pct", "percent", "capacity", "watermark", "generation", "epoch", "refcnt", "refcount", "refs", "lag"}
    | {"age", "vruntime"}
)
#: words in names of current amounts, which stay gauges when they are counted (`nr_running`, `active_count`)
_LEVELS = frozenset(
    {"inflight", "flight", "backlog", "pending", "outstanding", "queued", "running", "runnable", "active", "used"}
    | {"avail", "available", "alive", "live", "resident", "waiters", "occupancy"}
)
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
    """Return whether a struct of this name is likely to be the record of a ring or perf buffer."""
    return _EVENT.search(name) is not None


def unit_of(name: str) -> str:
    """Return the unit at the end of a name (`delta_us` → us), or "". `mnt_ns` is a namespace."""
    return _UNITS.get(name.rpartition("_")[2], "") if "_" in name and not _NAMESPACE.search(name) else ""


def role_of(name: str, kind: ColumnType, names: Collection[str]) -> ColumnRole | None:
    """Return the role of a column among `names`. With a `tgid`, `pid` is the thread, as in the kernel."""
    if kind in _INTEGERS.values():
        if name == "tgid":
            return ColumnRole.PID
        if name == "pid":
            return ColumnRole.TID if "tgid" in names else ColumnRole.PID
    role, kinds = _ROLES.get(name, (None, ()))
    return role if kind in kinds else None


def is_counter(name: str) -> bool:
    """Return whether a number in a map's value is a counter, by its name."""
    words = frozenset(name.split("_"))
    if words & _EXTREMES:
        return False
    if words & _SUMS:
        return True
    if words & _LEVELS:
        return unit_of(name) in _TIMES  # such times are added up
    if words & _COUNTS:
        return True
    return not words & _GAUGES and ("bytes" in words or _IDENTITY.fullmatch(name) is None)


def is_gauge(name: str) -> bool:
    """Return whether a number is a gauge, by its name."""
    return not is_counter(name) and not (_GAUGES | _LEVELS).isdisjoint(name.split("_"))


def stack_side(name: str) -> str:
    """Return "kernel" or "user" for the name of a stack id, "" for other names."""
    found = re.fullmatch(r"(.*_)?(k|kern|kernel|u|usr|user)_*stack(_?id)?", name)
    return "" if found is None else "kernel" if found[2].startswith("k") else "user"
