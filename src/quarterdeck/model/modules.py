"""Modules and their instances: a compiled eBPF program with its tables, and that module on one node."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self, TypeVar

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.manifests import Manifest, ReadMode, SettingValue
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.model.struct import FEW, Name, Names, Pairs, Struct, Text, Texts, Wire, WireEnum
from quarterdeck.model.tables import Table
from quarterdeck.model.transitions import Transitions

T = TypeVar("T")

#: name of the kind of these placements in desired sets and reports
MODULE = "module"


class ModuleState(StrEnum):
    """The state in which a module is wanted in the fleet."""

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


class InstanceState(WireEnum):
    """The state of a module on one node. A FAILED instance is retried with backoff."""

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
    """The way in which the bytes of a column are read from a record."""

    SCALAR = "scalar"  #: a number of `size` bytes; `signed`, `floating` say which
    BITS = "bits"  #: `width` bits at `shift` of the number of `size` bytes
    CHARS = "chars"  #: a NUL-terminated string in `size` bytes → string
    BYTES = "bytes"  #: `size` bytes, unchanged → binary, ipv6, mac, or fixed
    ARRAY = "array"  #: `count` numbers of `size` bytes each → list
    TAIL = "tail"  #: the bytes from `offset` to the record's end (variable-length records) → string or binary
    #: a stack id of `size` bytes, looked up in the stack map `stack`; with `stack` "", `count` addresses of 8 bytes in
    #: the record, up to the first zero → list of frames, innermost first
    STACK = "stack"
    CPU = "cpu"  #: the CPU number of a per-CPU map's row; not in the record


class SourceKind(StrEnum):
    """The kind of source that the rows of a table come from."""

    RECORDS = "records"  #: a ring or perf buffer: a row for each record
    ENTRIES = "entries"  #: a hash or array map: a row for each entry, read every `interval_s`
    #: a global variable of the program, read every `interval_s` like an array map: entry i is the index i (the key, a
    #: u32 of 4 bytes) followed by element i of the variable, or of the whole section
    GLOBAL = "global"


class Field(Wire, frozen=True, kw_only=True):
    """The place of one column in a record. Offsets count from the record's start (in maps: the key, then the value)."""

    column: Name
    kind: FieldKind
    offset: int
    size: int
    count: int = 1
    signed: bool = False
    floating: bool = False
    big_endian: bool = False
    shift: int = 0
    width: int = 0
    clock: Name = ""  #: for a timestamp: ktime, boottime, realtime or tai
    scale: int = 1  #: for a timestamp or duration: nanoseconds in one unit of the record
    stack: Name = ""  #: stack-trace map
    stack_pid: Name = ""  #: column that holds the process id; "" for kernel stacks and when all rows have the same one
    stack_setting: Name = ""  #: the setting that holds the process id of all rows
    stack_owner: int = 0  #: the process id of all rows
    additive: bool = False  #: a counter: summed over CPUs, differenced by `deltas`
    stated: bool = False  #: the manifest states whether it is a counter; observed values do not change that
    family_offset: int = 0  #: for an ip: offset of the number that distinguishes IPv4 and IPv6
    family_size: int = 0  #: for an ip: bytes of that number; 0 when the address shows it (::ffff:a.b.c.d)
    join: Name = ""  #: for CHARS and TAIL: replaces every NUL but the trailing ones, which then do not end the string


class Tag(Wire, frozen=True, kw_only=True):
    """A number that distinguishes kinds of records: `size` bytes at `offset`, read as unsigned and little-endian."""

    offset: int
    size: int
    values: Annotated[tuple[int, ...], FEW]


class TableSource(Wire, frozen=True, kw_only=True):
    """The source of one table of a module on a node. The agent needs nothing else to fill it, and reads no BTF.

    The agent fills the one column without a field, `time`, with the time of the read. Fields may share bytes.
    """

    table: Table
    kind: SourceKind = SourceKind.RECORDS
    #: several when the program chooses ring or perf buffer at run time: those that exist are read. For GLOBAL, the map
    #: of the section, such as ".bss"
    maps: Names
    record_size: int  #: bytes of a ring or perf record's struct, or key_size + value_size of a map or global
    #: the fewest bytes of a ring or perf record; missing bytes up to `record_size` are read as zero (programs send only
    #: the used part of an array). A shorter record is lost as `bad_record`
    min_size: int = 0
    #: a record belongs to this table only if all tags match; otherwise to another table that reads the same buffers
    tags: Annotated[tuple[Tag, ...], FEW] = ()
    key_size: int = 0
    #: with a transform, only the timestamps whose clock is not ktime
    fields: Annotated[tuple[Field, ...], FEW] = ()
    transform: Name = ""  #: file name of the .wasm
    interval_s: float = 1.0
    read: ReadMode = ReadMode.DELTAS
    per_cpu: Name = "sum"
    rate_limit: int = 0
    lasting: bool = False  #: for ENTRIES: no program deletes entries, so none can be recreated
    offset: int = 0  #: for GLOBAL: offset of element 0 in the section
    count: int = 1  #: for GLOBAL: number of elements, each of `record_size - key_size` bytes
    #: programs that refer to the maps; when none of them can be loaded, the table would stay empty
    writers: Names = ()
    #: for RECORDS: the program (`SEC("iter/…")`) that writes all records again every `interval_s`; `maps` is then empty
    iterator: Name = ""


#: the section of a transform's setting
TRANSFORM_SECTION = "wasm"


class Setting(Wire, frozen=True, kw_only=True):
    """A global of the program that is set before the program is loaded: its place, and its type and values."""

    name: Name  #: for a member of a struct, its path, such as "config.pid"
    #: ".rodata" (or another section) for a `const volatile` global, ".bss" or ".data" for another global that the
    #: manifest names, "wasm" for a transform's setting
    section: Name
    offset: int
    size: int
    type: Name  #: "bool", "int", "uint", "float", "chars", "enum", or one of them with "[n]" for an array, or "bytes"
    default: SettingValue | None = None
    description: Text = ""
    values: Pairs = {}  #: for an enum: number in decimal → name


class Artefact(Wire, frozen=True, kw_only=True):
    """A file that the agent fetches once, identified by the hash of its bytes."""

    name: Name
    sha256: Name
    size: int


class Build(Wire, frozen=True, kw_only=True):
    """A compiled module as it is sent to agents; the bytes of its artefacts are fetched separately."""

    manifest: Manifest
    digest: Name  #: sha256 over the manifest and all artefacts: the module's version
    object: Artefact
    transforms: Annotated[tuple[Artefact, ...], FEW] = ()
    programs: Names = ()
    settings: Annotated[tuple[Setting, ...], FEW] = ()
    sources: Annotated[tuple[TableSource, ...], FEW] = ()
    warnings: Texts = ()


class _Named(Wire, frozen=True, kw_only=True):
    name: Name


class _Head(Wire, frozen=True, kw_only=True):
    """The fields of a `Build` that every release can read."""

    manifest: _Named
    digest: Name


_pack = msgspec.msgpack.Encoder().encode
_build = msgspec.msgpack.Decoder(Build)
_head = msgspec.msgpack.Decoder(_Head)


class DesiredInstance(Wire, frozen=True, kw_only=True):
    """One module that a node should run. A build that the node cannot decode fails only this instance."""

    id: Name  #: of the module
    packed: msgspec.Raw = msgspec.field(name="build")  #: the `Build`
    settings: Annotated[dict[Name, SettingValue], FEW] = {}

    @classmethod
    def of(cls, build: Build, *, id: str, settings: Mapping[str, SettingValue] = {}) -> Self:  # noqa: A002
        """Return the instance with `build` encoded, as it is sent to a node."""
        return cls(id=id, packed=msgspec.Raw(_pack(build)), settings=dict(settings))

    @property
    def build(self) -> Build:
        """Return the compiled module. Raise `BadInput` when this release cannot decode it."""
        return self._read(_build)

    @property
    def name(self) -> str:
        """Return the module's name."""
        return self._read(_head).manifest.name

    @property
    def digest(self) -> str:
        """Return the module's version."""
        return self._read(_head).digest

    def _read(self, decoder: msgspec.msgpack.Decoder[T]) -> T:
        try:
            return decoder.decode(self.packed)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadInput(
                f"This agent cannot run the module '{self.id}': {error!s:.500}.",
                hint="Install the same release on the server and on the node.",
            ) from error


class Module(Struct, frozen=True, kw_only=True):
    """A module as the server stores it."""

    id: str
    name: str
    build: Build
    builtin: bool = False  #: it is part of the server's installation
    desire_state: ModuleState = ModuleState.CREATED
    selector: Selector = msgspec.field(default_factory=Selector)
    settings: dict[str, SettingValue] = {}
    create_time: float = 0.0  #: seconds since the epoch
    last_update_time: float = 0.0


class DroppedProgram(Wire, frozen=True, kw_only=True):
    """A program of the object that this kernel refused, and the reason."""

    program: Text
    reason: Text
    lasting: bool = False  #: this kernel will refuse it again


class InstanceStatus(Wire, frozen=True, kw_only=True):
    """An agent's report about one instance. `revision` is that of the desired set on which the agent acted."""

    instance_id: Name
    state: InstanceState
    revision: int
    reason: Text = ""  #: why it is FAILED
    log: Texts = ()  #: lines of the verifier or of libbpf
    dropped: Annotated[tuple[DroppedProgram, ...], FEW] = ()
    attached: Texts = ()  #: programs and where they are attached
    warnings: Texts = ()  #: observations about its rows while it runs
    attempt: int = 0
    retry_at: float = 0.0  #: seconds since the epoch, when FAILED; 0: it is not retried
    since: float = 0.0  #: seconds since the epoch of the last change of state
    load_ms: float = 0.0


class InstanceStats(Wire, frozen=True, kw_only=True):
    """The cost and output of an instance since its start. Counters never decrease while it runs."""

    instance_id: Name
    kernel_ns: int = 0  #: run time of its programs in the kernel
    runs: int = 0
    missed: int = 0  #: runs that the kernel skipped (recursion)
    agent_ns: int = 0  #: CPU time of the agent for it
    records: int = 0  #: records or entries read
    rows: int = 0  #: rows passed to the outbox
    lost: int = 0
    bytes: int = 0  #: bytes of records read
    memory_bytes: int = 0  #: bytes of its maps and programs in the kernel


class Instance(Struct, frozen=True, kw_only=True):
    """A module on one node as the API returns it: its wanted state and its reported status."""

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
        """Return the key of its node."""
        return NodeKey(self.gid, self.nid)


class CreateModule(Struct, frozen=True, kw_only=True):
    """The body of createModule: the files of a folder or of a build. `files` maps names to bytes (base64 in JSON)."""

    files: dict[str, bytes]
    replace: bool = False  #: replace an existing module by this version


class DeployModule(Struct, frozen=True, kw_only=True):
    """The body of deployModule."""

    selector: Selector = msgspec.field(default_factory=Selector)
    settings: dict[str, SettingValue] = {}
