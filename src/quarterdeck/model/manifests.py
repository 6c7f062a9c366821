"""The manifest: the contents of `module.toml`. `modulekit` refuses an unknown key; an older node ignores it.

The manifest states what the C source cannot: which map becomes which table, how often it is read, and where programs
attach when their section does not define it. Everything else (columns, types, types of settings) is read from the
object's BTF.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from quarterdeck.model.struct import FEW, Name, Names, Pairs, Text
from quarterdeck.model.tables import ColumnRole, ColumnType

SettingValue = bool | int | float | Text | Annotated[list[int | float], FEW]
TagValue = int | Text


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of a manifest. `modulekit` refuses an unknown key; decoding from the link ignores it."""


class ReadMode(StrEnum):
    """The way in which a map is read. Rings and perf buffers ignore it: each record becomes a row when it arrives."""

    DELTAS = "deltas"  #: entries whose numbers changed since the last read, as differences
    SNAPSHOT = "snapshot"  #: every entry with its current values
    DRAIN = "drain"  #: every entry, deleted as it is read


class ColumnOverride(_Written, frozen=True, kw_only=True):
    """Settings of one column, which is named by its path in the struct (`addr_v4`, `key_pid`)."""

    name: Text | None = None
    type: ColumnType | None = None
    unit: Text | None = None
    description: Text | None = None
    role: ColumnRole | None = None
    hide: bool = False
    #: the clock a timestamp was read from: "ktime" (CLOCK_MONOTONIC, the default), "boottime", "realtime", "tai"
    clock: Text | None = None
    histogram: Text | None = None
    values: Pairs | None = None
    #: the column becomes a list of frames: a stack id into this stack-trace map, or ("inline") the addresses themselves
    stack: Text | None = None
    #: for `stack`: the column (by its final name) or the setting that holds the process id, or the id itself; omitted
    #: for kernel stacks
    stack_pid: Text | int | None = None
    #: whether a number in a map's value is a counter, of which `deltas` sends differences; default: decided by its name
    counter: bool | None = None
    #: whether a number is in network byte order; default: only for C types such as __be16 and for `type = "ipv4"`
    big_endian: bool | None = None
    #: with `type = "ip"`: the member (by its path or column name) that holds the address family
    family: Text | None = None
    join: Text | None = None  #: separator with which several NUL-terminated strings in the bytes are joined


class TableSpec(_Written, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One `[[table]]`. Its rows come from `from`: a map, any of several maps, a global variable, or a whole `.bss`."""

    name: Text
    from_: Text | Names
    row: Text = ""  #: C type of a ring or perf record; not needed for maps and globals, whose types are in BTF
    #: for a buffer with several kinds of records: members of the record, and the values (numbers or names of
    #: enumerators) that they have in records of this table
    when: Annotated[dict[Name, TagValue | Annotated[tuple[TagValue, ...], FEW]], FEW] = {}
    key: Text = ""  #: replaces the map's key type, for maps that declare only a size
    value: Text = ""  #: replaces the map's value type
    transform: Text = ""  #: file name of a .wasm or .wasm.c
    interval: Text = "1s"  #: interval of reads of a map, and the longest time that a row waits in the agent
    read: ReadMode = ReadMode.DELTAS
    per_cpu: Text = "sum"  #: for a per-CPU map: "sum", "max" or "each" (a row for each CPU)
    retention: Text = "7d"
    order: Names = ()
    description: Text = ""
    rate_limit: int = 0  #: rows kept per second; the others are counted as `throttled`; 0: no limit
    columns: Annotated[dict[Name, ColumnOverride], FEW] = {}


class SettingSpec(_Written, frozen=True, kw_only=True):
    """One `[settings.NAME]`: a `const volatile` global of the program (or a QD_SETTING of the transform)."""

    description: Text = ""
    default: SettingValue | None = None  #: replaces the initial value in the source


class MapSpec(_Written, frozen=True, kw_only=True):
    """One `[maps.NAME]`: sizes of a map that are set before the program is loaded."""

    max_entries: int | None = None
    key_size: int | None = None
    value_size: int | None = None
    depth: int | None = None  #: frames of a stack-trace map; sets value_size


class ProbeKind(StrEnum):
    """The kinds of places to attach to. The comments name the fields of `ProbeSpec` that each kind uses."""

    TRACEPOINT = "tracepoint"  # target = "sched:sched_process_exec"
    RAW_TRACEPOINT = "raw_tp"  # target
    TP_BTF = "tp_btf"  # target
    FENTRY = "fentry"  # target = function
    FEXIT = "fexit"  # target = function
    FMOD_RET = "fmod_ret"  # target = function
    LSM = "lsm"  # target = hook
    KPROBE = "kprobe"  # target = function, offset
    KRETPROBE = "kretprobe"  # target = function
    UPROBE = "uprobe"  # binary, target = symbol or offset, pid
    URETPROBE = "uretprobe"  # binary, target = symbol or offset, pid
    USDT = "usdt"  # binary, target = "provider:name", pid
    PERF_EVENT = "perf_event"  # event, frequency or period
    TC = "tc"  # interface, direction; tcx where the kernel has it, else clsact
    XDP = "xdp"  # interface
    CGROUP = "cgroup"  # cgroup = path
    SOCKET_FILTER = "socket_filter"  # interface
    NETFILTER = "netfilter"  # target = hook name such as "ipv4:local_in"


class ProbeSpec(_Written, frozen=True, kw_only=True):
    """One `[[probe]]`: attaches `program` explicitly instead of by its section. A program may have several probes."""

    program: Text
    kind: ProbeKind
    target: Text = ""  #: `module.toml` also accepts a list of targets, which becomes one probe for each
    binary: Text = ""
    pid: int = -1
    offset: int = 0
    event: Text = "cpu-clock"
    frequency: int = 0  #: Hz
    period: int = 0  #: ns for cpu-clock, else events
    interface: Text = ""  #: name, or "" for every interface that is up except loopback
    direction: Text = "ingress"  #: or "egress"
    cgroup: Text = ""  #: path below the v2 hierarchy; "" is its root


class Manifest(_Written, frozen=True, kw_only=True):
    """A decoded `module.toml`. A table name is unique in the fleet."""

    name: Text
    description: Text = ""
    version: Text = ""
    license: Text = ""
    program: Text = ""  #: file name; default: NAME.bpf.c, else NAME.bpf.o
    settings: Annotated[dict[Name, SettingSpec], FEW] = {}
    maps: Annotated[dict[Name, MapSpec], FEW] = {}
    probe: Annotated[tuple[ProbeSpec, ...], FEW] = ()
    #: each entry is a list of choices, and each choice a list of programs that belong together; the first choice whose
    #: programs all load and attach is used, and the others are not loaded
    alternatives: Annotated[tuple[Annotated[tuple[Names, ...], FEW], ...], FEW] = ()
    #: programs that may fail to load; "*" stands for all, and is the default for an object with several programs. The
    #: instance still fails when no program can fill a table
    optional: Names = ()
    disabled: Names = ()  #: programs that are not loaded
    table: Annotated[tuple[TableSpec, ...], FEW] = ()


ALL_PROGRAMS = "*"  #: value of `optional`: every program may fail to load


def enabled_programs(manifest: Manifest) -> frozenset[str]:
    """Return the programs that the manifest names. A program whose section begins with `?` is loaded only if named."""
    chosen = (name for group in manifest.alternatives for choice in group for name in choice)
    named = {*(probe.program for probe in manifest.probe), *chosen, *manifest.optional}
    return frozenset(named - {ALL_PROGRAMS})
