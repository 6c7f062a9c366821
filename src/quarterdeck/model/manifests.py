"""The manifest: `module.toml` as its author writes it. An unknown key is an error.

It says what the C source cannot: which map becomes which table, how often it is read, and where programs
attach when their section does not say it. Everything else (columns, types, settings' types) is read from the object's
BTF.
"""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import ColumnRole, ColumnType

SettingValue = bool | int | float | str | list[int | float]


class ReadMode(StrEnum):
    """What a read of a map means. Rings and perf buffers ignore it: their rows come as they happen."""

    DELTAS = "deltas"  #: rows whose numbers changed, as differences since the last read
    SNAPSHOT = "snapshot"  #: every entry as it is
    DRAIN = "drain"  #: every entry, deleted as it is read


class ColumnOverride(Struct, frozen=True, kw_only=True):
    """What the manifest may say of one column, named by its place in the struct (`addr_v4`, `key_pid`)."""

    name: str | None = None
    type: ColumnType | None = None
    unit: str | None = None
    description: str | None = None
    role: ColumnRole | None = None
    hide: bool = False
    #: the clock a timestamp was read from: "ktime" (CLOCK_MONOTONIC, the default), "boottime", "realtime", "tai"
    clock: str | None = None
    histogram: str | None = None
    values: dict[str, str] | None = None
    #: the column becomes a list of frames: a stack id into this stack-trace map, or ("inline") the addresses themselves
    stack: str | None = None
    #: for `stack`: the column (by its final name) that holds the process id; omitted for kernel stacks
    stack_pid: str | None = None
    #: whether a number of a map's value counts up (default: by its name), so that `deltas` are differences of it
    counter: bool | None = None
    #: whether a number is in network byte order (default: only C types such as __be16, and what `type = "ipv4"` reads)
    big_endian: bool | None = None
    join: str | None = None  #: the bytes are several strings, each ended by a NUL: join them with this


class TableSpec(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One `[[table]]`: rows of `name` come from `from`: a map, any of several, a global variable, or a whole `.bss`."""

    name: str
    from_: str | tuple[str, ...]
    row: str = ""  #: C type of a ring or perf record; maps and globals need none: their types are in BTF
    key: str = ""  #: overrides the map's key type, for maps declared by size only
    value: str = ""  #: overrides the map's value type
    transform: str = ""  #: file name of a .wasm or .wasm.c
    interval: str = "1s"  #: how often a map is read, and at most how long a row waits in the agent
    read: ReadMode = ReadMode.DELTAS
    per_cpu: str = "sum"  #: of a per-CPU map: "sum", "max" or "each" (a row for each CPU)
    retention: str = "7d"
    order: tuple[str, ...] = ()
    description: str = ""
    rate_limit: int = 0  #: rows a second that are kept; the rest is counted as `throttled`; 0 is no limit
    columns: dict[str, ColumnOverride] = {}


class SettingSpec(Struct, frozen=True, kw_only=True):
    """One `[settings.NAME]`: a `const volatile` global of the program (or a QD_SETTING of the transform)."""

    description: str = ""
    default: SettingValue | None = None  #: overrides the initial value in the source


class MapSpec(Struct, frozen=True, kw_only=True):
    """One `[maps.NAME]`: what a loader would set before loading."""

    max_entries: int | None = None
    key_size: int | None = None
    value_size: int | None = None
    depth: int | None = None  #: of a stack-trace map: frames; sets value_size


class ProbeKind(StrEnum):
    """Where a program can attach. The field names in the comment are those of `ProbeSpec` that it reads."""

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


class ProbeSpec(Struct, frozen=True, kw_only=True):
    """One `[[probe]]`: attaches `program` explicitly, instead of what its section says. It may have several."""

    program: str
    kind: ProbeKind
    target: str = ""
    binary: str = ""
    pid: int = -1
    offset: int = 0
    event: str = "cpu-clock"
    frequency: int = 0  #: Hz
    period: int = 0  #: ns for cpu-clock, else events
    interface: str = ""  #: name, or "" for every interface that is up (but loopback unless asked by name)
    direction: str = "ingress"  #: or "egress"
    cgroup: str = ""  #: path below the v2 hierarchy; "" is its root


class Manifest(Struct, frozen=True, kw_only=True):
    """`module.toml`, decoded. Tables of one module have distinct names; a table name is global to the fleet."""

    name: str
    description: str = ""
    version: str = ""
    license: str = ""
    program: str = ""  #: file name; default: NAME.bpf.c, else NAME.bpf.o
    settings: dict[str, SettingSpec] = {}
    maps: dict[str, MapSpec] = {}
    probe: tuple[ProbeSpec, ...] = ()
    #: each entry is a list of choices, each choice a list of programs that belong together; the first choice whose
    #: programs all load and attach is used, the others are left out
    alternatives: tuple[tuple[tuple[str, ...], ...], ...] = ()
    #: programs that may fail to load ("*": all may, which is also what saying nothing means where there are several);
    #: a table that no program can fill fails the instance all the same
    optional: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()  #: programs never loaded
    table: tuple[TableSpec, ...] = ()
