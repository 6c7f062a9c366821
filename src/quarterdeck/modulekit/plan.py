"""`[[table]]` + the object's types → `TableSource`: which bytes of which map, ring or variable fill which columns.

It owns the detection of a table's kind of source (record, entry, global) and the choice of the C types of its rows.
`columns` makes the columns of a type, `overrides` applies the manifest's changes, and `transforms` makes the columns of
a transform.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from quarterdeck.bpf.btf import Array, Int, Kind
from quarterdeck.bpf.declarations import MapDeclaration, ObjectFile
from quarterdeck.bpf.layout import Field as Member
from quarterdeck.bpf.layout import FieldKind as MemberKind
from quarterdeck.bpf.layout import Layout, layout_of
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.losses import KERNEL_LOSSES_MAP
from quarterdeck.model.manifests import ReadMode, TableSpec
from quarterdeck.model.modules import Field, FieldKind, SourceKind, TableSource
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table
from quarterdeck.modulekit.columns import Draft, distinct, draft_columns
from quarterdeck.modulekit.conversions import convert
from quarterdeck.modulekit.meanings import KTIME_NAMES, role_of
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.overrides import Place, apply_overrides
from quarterdeck.modulekit.programs import ProgramDeclaration
from quarterdeck.modulekit.rows import Rows, least_size
from quarterdeck.modulekit.sends import prints
from quarterdeck.modulekit.tags import tags_of
from quarterdeck.modulekit.writers import iterator_of, iterators, keeps, writers_of

STREAMS = frozenset({MapType.RINGBUF, MapType.PERF_EVENT_ARRAY})
PER_CPU = frozenset({MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH})
ARRAYS = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY})
ENTRIES = frozenset({MapType.HASH, MapType.LRU_HASH, MapType.LPM_TRIE}) | PER_CPU | ARRAYS
GLOBAL_SECTIONS = (".bss", ".data")

_INDEX_BYTES = 4
_LISTABLE = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A table's source before its columns have their final form."""

    source: TableSource
    drafts: list[Draft]


class Planner:
    """The planner of the sources of one module's tables."""

    def __init__(
        self,
        module: str,
        opened: ObjectFile,
        programs: Iterable[ProgramDeclaration],
        types: list[str],
        settings: Collection[str] = (),
    ) -> None:
        """Take the context of the tables.

        `types` are the structs that the module's C defines, for messages about missing ones; `settings` are the
        settings that hold an integer.
        """
        self._settings = settings
        self._module = module
        self._object = opened
        self._programs = tuple(programs)
        self._types = types
        self._rows = Rows(opened, types, self._layout)
        self._stack_maps = [name for name, each in opened.maps.items() if each.type == MapType.STACK_TRACE]

    @property
    def warnings(self) -> list[str]:
        """Return warnings for the author about the structs that were chosen for records."""
        return self._rows.warnings

    def source(self, spec: TableSpec) -> TableSource:
        """Return the source of a table whose columns come from C.

        Raise `BadManifest` if map, struct or columns do not match.
        """
        plan = self._plan(spec)
        tags = tags_of(spec, plan.source.kind, plan.drafts)
        drafts = _with_roles(distinct(plan.drafts))
        place = Place(table=spec.name, stack_maps=self._stack_maps, settings=self._settings)
        inferred = next((d for d in drafts if plan.source.kind is SourceKind.RECORDS and _is_ktime(d)), None)
        if inferred is not None:
            drafts = [_as_ktime(draft) if draft is inferred else draft for draft in drafts]
        drafts = apply_overrides(drafts, spec.columns, place)
        least = max([plan.source.min_size, *(tag.offset + tag.size for tag in tags)])
        return self._finished(spec, changed(plan.source, tags=tags, min_size=least), drafts, place)

    def outline(self, spec: TableSpec) -> TableSource:
        """Return the source without columns, for a transform: the maps, and the size of their records (0: unknown)."""
        tags_of(spec, SourceKind.RECORDS, ())
        kind = self._kind(spec)
        if kind is SourceKind.RECORDS and not spec.row:
            return self._finished(spec, self._shape(spec, kind), [], Place(table=spec.name))
        return self._finished(spec, self._plan(spec).source, [], Place(table=spec.name))

    def _finished(self, spec: TableSpec, source: TableSource, drafts: list[Draft], place: Place) -> TableSource:
        drafts = _with_time(drafts)
        columns = [draft.column for draft in drafts]
        if not any(column.role is ColumnRole.TIME for column in columns):
            columns.insert(0, TIME)
        for name in spec.order:
            if name not in {column.name for column in columns} | {"nid", "gid"}:
                raise place.error(
                    name, "order names a column that is not there", nearest(name, [c.name for c in columns])
                )
        table = changed(source.table, columns=tuple(columns))
        writers = writers_of(source, sources_of(spec), self._programs)
        fields = tuple(draft.field for draft in drafts)
        entries = source.kind is SourceKind.ENTRIES
        lasting = entries and all(keeps(self._object.maps[name], self._programs) for name in source.maps)
        return changed(source, table=table, fields=fields, writers=writers, lasting=lasting)

    def _plan(self, spec: TableSpec) -> Plan:
        match self._kind(spec):
            case SourceKind.RECORDS:
                return self._records(spec)
            case SourceKind.ENTRIES:
                return self._entries(spec)
            case SourceKind.GLOBAL:
                return self._global(spec)

    def _kind(self, spec: TableSpec) -> SourceKind:
        kinds = {name: self._kind_of(spec, name) for name in sources_of(spec)}
        if len(set(kinds.values())) > 1 or (len(kinds) > 1 and SourceKind.GLOBAL in kinds.values()):
            raise BadManifest(
                f"module.toml: table '{spec.name}' is filled from {' and '.join(kinds)}, which are read differently.",
                hint="Several are for programs that choose one of them at run time; write a [[table]] for each.",
            )
        return next(iter(kinds.values()))

    def _kind_of(self, spec: TableSpec, name: str) -> SourceKind:
        if name in iterators(self._programs):
            return SourceKind.RECORDS
        declared = self._object.maps.get(name)
        if declared is not None:
            if declared.type in STREAMS:
                return SourceKind.RECORDS
            if declared.type in ENTRIES:
                return SourceKind.ENTRIES
            kind = MapType(declared.type).name
            readable = ", ".join(sorted(each.name for each in STREAMS | ENTRIES))
            raise BadManifest(
                f"module.toml: table '{spec.name}': map '{name}' is of type {kind}, which cannot be read as rows.",
                hint=f"These can: {readable}.",
            )
        variable = self._object.variables.get(name)
        if variable is not None and variable.section.startswith(GLOBAL_SECTIONS):
            return SourceKind.GLOBAL
        if name.startswith(GLOBAL_SECTIONS) and self._object.elf.section(name):
            return SourceKind.GLOBAL
        variables = [each for each in self._object.variables.values() if each.section.startswith(GLOBAL_SECTIONS)]
        known = {*self._object.maps, *iterators(self._programs), *(each.name for each in variables)}
        known.discard(KERNEL_LOSSES_MAP)
        hint = nearest(name, known)
        if not known and prints(self._object):
            hint = "It only prints, with bpf_printk, which no table can read: let it send a struct into a ring buffer."
        raise BadManifest(
            f"module.toml: table '{spec.name}': the program has no map and no global variable '{name}'.", hint=hint
        )

    def _shape(self, spec: TableSpec, kind: SourceKind) -> TableSource:
        """Return the parts of a source that do not depend on its types."""
        table = Table(
            name=spec.name,
            columns=(),
            retention_s=round(parse_duration(spec.retention)),
            order=spec.order or ("nid", "time"),
            description=spec.description,
            module=self._module,
        )
        iterator = iterator_of(sources_of(spec), self._programs, table=spec.name)
        return TableSource(
            table=table,
            kind=kind,
            maps=() if iterator else sources_of(spec),
            iterator=iterator,
            record_size=0,
            interval_s=parse_duration(spec.interval),
            read=spec.read,
            per_cpu=spec.per_cpu,
            rate_limit=spec.rate_limit,
        )

    def _records(self, spec: TableSpec) -> Plan:
        layout = self._rows.layout(spec, sources_of(spec))
        shape = self._shape(spec, SourceKind.RECORDS)
        least = layout.size if layout.tail is not None or shape.iterator else least_size(layout)
        source = changed(shape, record_size=layout.size, min_size=least)
        drafts = draft_columns(layout)
        if least < layout.size:
            drafts = [_cut_short(draft) if draft.field.offset == least else draft for draft in drafts]
        return Plan(source=source, drafts=drafts)

    def _layout(self, spec: TableSpec, key: str, name: str) -> Layout:
        bare = name.removeprefix("struct ").removeprefix("union ").strip()
        btf = self._object.btf
        type_id = btf.find_composite(bare) or btf.find(bare, Kind.TYPEDEF, Kind.INT, Kind.ENUM)
        if type_id is not None:
            return layout_of(btf, type_id)
        known = {btf.spell(each) for each in btf.ids(Kind.STRUCT, Kind.UNION)} | set(self._types)
        hint = nearest(bare, known - {"struct", "union"})
        if bare in self._types or not self._types:
            hint = f"Compilers keep only types that are used: declare `struct {bare} *unused;` outside the functions."
        raise BadManifest(
            f"module.toml: table '{spec.name}': {key} names struct '{bare}', which the program lacks.", hint=hint
        )

    def _entries(self, spec: TableSpec) -> Plan:
        declared = [self._object.maps[name] for name in sources_of(spec)]
        layouts = [(self._part(spec, each, "key"), self._part(spec, each, "value")) for each in declared]
        key, value = layouts[0]
        if any((other[0].size, other[1].size) != (key.size, value.size) for other in layouts):
            raise BadManifest(
                f"module.toml: table '{spec.name}': the maps {', '.join(sources_of(spec))} differ in size."
            )
        if spec.read is ReadMode.DRAIN and any(each.type in ARRAYS for each in declared):
            raise BadManifest(
                f"module.toml: table '{spec.name}': an array's entries cannot be deleted, so it cannot be drained.",
                hint="Use read = 'deltas' or read = 'snapshot'.",
            )
        drafts = draft_columns(key, part="key")
        drafts += draft_columns(value, part="value", offset=key.size, owner=declared[0].name)
        if spec.per_cpu == "each" and all(each.type in PER_CPU for each in declared):
            drafts.append(_cpu(drafts))
        source = changed(self._shape(spec, SourceKind.ENTRIES), record_size=key.size + value.size, key_size=key.size)
        return Plan(source=source, drafts=drafts)

    def _part(self, spec: TableSpec, declared: MapDeclaration, part: str) -> Layout:
        """Return the layout of a map's keys or values: the manifest's, that of its C type, or a number of its size."""
        named = spec.key if part == "key" else spec.value
        type_id = declared.key_type if part == "key" else declared.value_type
        size = declared.key_size if part == "key" else declared.value_size
        if named:
            layout = self._layout(spec, part, named)
            if size and layout.size != size:
                raise BadManifest(
                    f"module.toml: table '{spec.name}': {part} '{named}' has {layout.size} bytes, but the {part}s of "
                    f"map '{declared.name}' have {size}."
                )
            return layout
        if type_id is not None:
            return layout_of(self._object.btf, type_id)
        kind = MemberKind.UINT if size in _LISTABLE else MemberKind.BYTES
        member = Member(path=(), kind=kind, offset=0, size=size, type_name=_LISTABLE.get(size, f"u8[{size}]"))
        return Layout(member.type_name, size, (member,))

    def _global(self, spec: TableSpec) -> Plan:
        name = sources_of(spec)[0]
        if spec.read is ReadMode.DRAIN:
            raise BadManifest(f"module.toml: table '{spec.name}': the global variable '{name}' cannot be drained.")
        variable = self._object.variables.get(name)
        if variable is None:
            return self._whole_section(spec, name)
        element, count = variable.type_id, 1
        array = self._object.btf.resolve(element)
        if isinstance(array, Array) and array.count and not self._is_text(array):
            element, count = array.element, array.count
        layout = layout_of(self._object.btf, element)
        drafts = draft_columns(layout, part="value", offset=_INDEX_BYTES, owner=name)
        drafts = [draft.named(name.lower()) if draft.path == "value" else draft for draft in drafts]
        index = Field(column="index", kind=FieldKind.SCALAR, offset=0, size=_INDEX_BYTES)
        if count > 1:
            column = Column(name="index", type=ColumnType.UINT32, description=f"which element of {name}")
            drafts.insert(0, Draft(path="index", column=column, field=index))
        source = changed(
            self._shape(spec, SourceKind.GLOBAL),
            maps=(variable.section,),
            record_size=_INDEX_BYTES + layout.size,
            key_size=_INDEX_BYTES,
            offset=variable.offset,
            count=count,
        )
        return Plan(source=source, drafts=drafts)

    def _is_text(self, array: Array) -> bool:
        element = self._object.btf.resolve(array.element)
        return isinstance(element, Int) and element.name == "char"

    def _whole_section(self, spec: TableSpec, name: str) -> Plan:
        """Return one row of all variables of a section, each with its name."""
        section = self._object.elf.section(name)
        assert section is not None
        drafts: list[Draft] = []
        for variable in self._object.variables.values():
            if variable.section == name:
                layout = layout_of(self._object.btf, variable.type_id)
                fields = [replace(each, path=(variable.name, *each.path)) for each in layout.fields]
                layout = Layout(layout.type_name, layout.size, tuple(fields))
                drafts += draft_columns(layout, part="value", offset=_INDEX_BYTES + variable.offset)
        source = changed(
            self._shape(spec, SourceKind.GLOBAL), record_size=_INDEX_BYTES + section.size, key_size=_INDEX_BYTES
        )
        return Plan(source=source, drafts=drafts)


TIME = Column(name="time", type=ColumnType.TIMESTAMP, role=ColumnRole.TIME, description="when it was read")


def sources_of(spec: TableSpec) -> tuple[str, ...]:
    """Return the names in `from`."""
    return (spec.from_,) if isinstance(spec.from_, str) else spec.from_


def _cut_short(draft: Draft) -> Draft:
    """Return the number of bytes that a record may lack at its end; they are then left out instead of read as zeros."""
    if draft.field.kind is not FieldKind.BYTES or draft.column.type is not ColumnType.BINARY:
        return draft
    return replace(draft, field=changed(draft.field, kind=FieldKind.CHARS))


def _cpu(drafts: list[Draft]) -> Draft:
    name = "map_cpu" if any(draft.column.name == "cpu" for draft in drafts) else "cpu"
    column = Column(name=name, type=ColumnType.UINT32, description="the CPU whose value it is")
    return Draft(path=name, column=column, field=Field(column=name, kind=FieldKind.CPU, offset=0, size=0))


def _with_roles(drafts: list[Draft]) -> list[Draft]:
    names = {draft.column.name for draft in drafts}
    given: set[ColumnRole] = set()
    result: list[Draft] = []
    for draft in drafts:
        role = role_of(draft.column.name, draft.column.type, names)
        if role is not None and role not in given:
            given.add(role)
            draft = replace(draft, column=changed(draft.column, role=role))  # noqa: PLW2901
        result.append(draft)
    return result


def _is_ktime(draft: Draft) -> bool:
    return draft.path in KTIME_NAMES and draft.column.type in {ColumnType.UINT64, ColumnType.INT64}


def _as_ktime(draft: Draft) -> Draft:
    column, field = convert(draft.column, draft.field, ColumnType.TIMESTAMP)
    return replace(draft, column=column, field=field)


def _with_time(drafts: list[Draft]) -> list[Draft]:
    """Return the drafts with `time` first: the column of that role, or a second copy of the record's own time."""
    timed = [draft for draft in drafts if draft.column.role is ColumnRole.TIME]
    if timed:
        return [*timed, *(draft for draft in drafts if draft not in timed)]
    moment = next((d for d in drafts if d.column.type is ColumnType.TIMESTAMP and d.path in KTIME_NAMES), None)
    if moment is None:
        return drafts
    column = changed(TIME, description=f"when it happened, from '{moment.column.name}'")
    return [Draft(path="time", column=column, field=changed(moment.field, column="time")), *drafts]
