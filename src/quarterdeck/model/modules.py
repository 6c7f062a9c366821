"""Modules and their instances: a built eBPF program with its tables, and that module on one node."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from quarterdeck.model.manifests import Manifest, ReadMode, SettingValue
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.model.struct import Struct, Wire
from quarterdeck.model.tables import Table
from quarterdeck.model.transitions import Transitions


class ModuleState(StrEnum):
    """What the fleet wants of a module."""

    CREATED = "CREATED"
    DEPLOYED = "DEPLOYED"
    UNDEPLOYED = "UNDEPLOYED"
    DELETED = "DELETED"


MODULE_TRANSITIONS = Transitions(
    "module",
    {
        ModuleState.CREATED: frozenset({ModuleState.DEPLOYED, ModuleState.DELETED}),
        ModuleState.DEPLOYED: frozenset({ModuleState.UNDEPLOYED}),
        ModuleState.UNDEPLOYED: frozenset({ModuleState.DEPLOYED, ModuleState.DELETED}),
        ModuleState.DELETED: frozenset(),
    },
)


class InstanceState(StrEnum):
    """What a module is doing on one node. FAILED is retried with backoff; nothing is ever stuck."""

    INIT = "INIT"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


INSTANCE_TRANSITIONS = Transitions(
    "module instance",
    {
        InstanceState.INIT: frozenset({InstanceState.IN_PROGRESS}),
        InstanceState.IN_PROGRESS: frozenset({InstanceState.SUCCEEDED, InstanceState.FAILED, InstanceState.INIT}),
        InstanceState.SUCCEEDED: frozenset({InstanceState.IN_PROGRESS, InstanceState.FAILED, InstanceState.INIT}),
        InstanceState.FAILED: frozenset({InstanceState.IN_PROGRESS, InstanceState.INIT}),
    },
)


class FieldKind(StrEnum):
    """How a column's bytes are read out of a record."""

    SCALAR = "scalar"  #: a number of `size` bytes; `signed`, `floating` say which
    BITS = "bits"  #: `width` bits at `shift` of the number of `size` bytes
    CHARS = "chars"  #: a NUL-terminated string in `size` bytes → string
    BYTES = "bytes"  #: `size` bytes as they are → binary, ipv6, mac, or fixed
    ARRAY = "array"  #: `count` numbers of `size` bytes each → list
    TAIL = "tail"  #: the bytes from `offset` to the record's end (variable-length records) → string or binary
    #: → list of frames, innermost first. A stack id of `size` bytes, through the stack map `stack`; where `stack` is ""
    #: the `count` addresses of 8 bytes each are in the record itself, up to the first zero
    STACK = "stack"
    CPU = "cpu"  #: the CPU number of a per-CPU map's row; not in the record


class SourceKind(StrEnum):
    """Where the rows of a table come from."""

    RECORDS = "records"  #: a ring or perf buffer: a row for each record
    ENTRIES = "entries"  #: a hash or array map: a row for each entry, read every `interval_s`
    #: a global variable of the program, read every `interval_s` as if it were an array map: entry i is a u32 index
    #: (the key, 4 bytes, i) followed by element i of the variable, or of the whole section
    GLOBAL = "global"


class Field(Wire, frozen=True, kw_only=True):
    """Where one column of a module's table comes from. Offsets count from the record's start (of maps: key, value)."""

    column: str
    kind: FieldKind
    offset: int
    size: int
    count: int = 1
    signed: bool = False
    floating: bool = False
    big_endian: bool = False
    shift: int = 0
    width: int = 0
    clock: str = ""  #: of a timestamp: ktime, boottime, realtime or tai
    scale: int = 1  #: of a timestamp or duration: nanoseconds in one of the record's units
    stack: str = ""  #: stack-trace map
    stack_pid: str = ""  #: column holding the process id; "" for kernel stacks
    additive: bool = False  #: a counter: summed over CPUs, differenced by `deltas`
    join: str = ""  #: of CHARS and TAIL: every NUL but the trailing ones becomes this, instead of ending the string


class TableSource(Wire, frozen=True, kw_only=True):
    """How one table of a module is filled on a node: everything the agent needs, so that it reads no BTF.

    A column without a field is the agent's to fill: `time` (the moment of reading). Fields may share bytes.
    """

    table: Table
    kind: SourceKind = SourceKind.RECORDS
    #: several when the program chooses ring or perf buffer at run time: those that exist are read. Of GLOBAL: the
    #: section's map, such as ".bss"
    maps: tuple[str, ...]
    record_size: int  #: bytes of a ring or perf record's struct, or key_size + value_size of a map or global
    #: bytes a ring or perf record has at least; what is missing up to `record_size` reads as zero (programs send
    #: only the used part of an array). A shorter record is lost as `bad_record`
    min_size: int = 0
    key_size: int = 0
    fields: tuple[Field, ...] = ()  #: of a transform: only the clocks of timestamps whose clock is not ktime
    transform: str = ""  #: file name of the .wasm
    interval_s: float = 1.0
    read: ReadMode = ReadMode.DELTAS
    per_cpu: str = "sum"
    rate_limit: int = 0
    offset: int = 0  #: of GLOBAL: where element 0 lies in the section
    count: int = 1  #: of GLOBAL: how many elements, each `record_size - key_size` bytes
    #: programs that refer to the maps; when none of them can be loaded the table would stay empty for ever
    writers: tuple[str, ...] = ()


#: the section of a setting that is a transform's
TRANSFORM_SECTION = "wasm"


class Setting(Wire, frozen=True, kw_only=True):
    """A global of the program that is set before it loads: where its bytes lie, and what it may hold."""

    name: str  #: of a member of a struct: its path, such as "config.pid"
    #: ".rodata" (or another section) of a `const volatile` global, ".bss" or ".data" of another that the manifest
    #: names; "wasm" for a transform's
    section: str
    offset: int
    size: int
    type: str  #: "bool", "int", "uint", "float", "chars", "enum", or one of them with "[n]" for an array, or "bytes"
    default: SettingValue | None = None
    description: str = ""
    values: dict[str, str] = {}  #: of an enum: number in decimal → name


class Artefact(Wire, frozen=True, kw_only=True):
    """A file the agent fetches once, named by the hash of its bytes."""

    name: str
    sha256: str
    size: int


class Build(Wire, frozen=True, kw_only=True):
    """A compiled module: what travels to agents, but for the bytes of its artefacts."""

    manifest: Manifest
    digest: str  #: sha256 over the manifest and all artefacts: the module's version
    object: Artefact
    transforms: tuple[Artefact, ...] = ()
    programs: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    sources: tuple[TableSource, ...] = ()
    warnings: tuple[str, ...] = ()


class Module(Struct, frozen=True, kw_only=True):
    """A module as the server knows it."""

    id: str
    name: str
    build: Build
    builtin: bool = False  #: it came with the server
    desire_state: ModuleState = ModuleState.CREATED
    selector: Selector = msgspec.field(default_factory=Selector)
    settings: dict[str, SettingValue] = {}
    create_time: float = 0.0  #: seconds since the epoch
    last_update_time: float = 0.0


class DroppedProgram(Wire, frozen=True, kw_only=True):
    """A program of the object that this kernel would not take, and why."""

    program: str
    reason: str


class InstanceStatus(Wire, frozen=True, kw_only=True):
    """What an agent says of one instance. `revision` is the desired set it acted on."""

    instance_id: str
    state: InstanceState
    revision: int
    reason: str = ""  #: in words, when FAILED
    log: tuple[str, ...] = ()  #: the verifier's or libbpf's own lines
    dropped: tuple[DroppedProgram, ...] = ()
    attached: tuple[str, ...] = ()  #: programs and where they hang
    attempt: int = 0
    retry_at: float = 0.0  #: seconds since the epoch, when FAILED
    since: float = 0.0  #: seconds since the epoch of the last change of state
    load_ms: float = 0.0


class InstanceStats(Wire, frozen=True, kw_only=True):
    """What an instance has cost and made since it started. Counters only grow while it runs."""

    instance_id: str
    kernel_ns: int = 0  #: run time of its programs in the kernel
    runs: int = 0
    missed: int = 0  #: runs the kernel skipped (recursion)
    agent_ns: int = 0  #: CPU time the agent spent on it
    records: int = 0  #: records or entries read
    rows: int = 0  #: rows handed to the outbox
    lost: int = 0
    bytes: int = 0  #: bytes of records read
    memory_bytes: int = 0  #: of its maps and programs in the kernel


class Instance(Struct, frozen=True, kw_only=True):
    """A module on one node, as the server and the API see it: what is wanted and what is."""

    id: str
    module_id: str
    module_name: str
    gid: int
    nid: int
    node_name: str
    agent_id: str
    desire_state: ModuleState
    status: InstanceStatus
    stats: InstanceStats | None = None
    create_time: float = 0.0
    last_update_time: float = 0.0

    @property
    def key(self) -> NodeKey:
        """The node it is on."""
        return NodeKey(self.gid, self.nid)


class CreateModule(Struct, frozen=True, kw_only=True):
    """The body of createModule: a folder's files, or prebuilt ones. `files` maps names to bytes (base64 in JSON)."""

    files: dict[str, bytes]
    replace: bool = False  #: a new version of a module that exists


class DeployModule(Struct, frozen=True, kw_only=True):
    """The body of deployModule."""

    selector: Selector = msgspec.field(default_factory=Selector)
    settings: dict[str, SettingValue] = {}
