"""`[[table]]` + the object's types → `TableSource`: which bytes of which map, ring or variable fill which columns.

Owns how a table's source is recognised (record, entry, global) and which C types its rows are made of. The columns of a
type are `columns`', the manifest's changes to them `overrides`', a transform's columns `transforms`'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from quarterdeck.bpf.btf import Array, Int, Kind
from quarterdeck.bpf.declarations import MapDeclaration, ObjectFile
from quarterdeck.bpf.layout import Field as Member
from quarterdeck.bpf.layout import FieldKind as MemberKind
from quarterdeck.bpf.layout import Layout, layout_of
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ReadMode, TableSpec
from quarterdeck.model.modules import Field, FieldKind, SourceKind, TableSource
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table, parse_duration
from quarterdeck.modulekit.columns import Draft, distinct, draft_columns
from quarterdeck.modulekit.conversions import convert
from quarterdeck.modulekit.meanings import KTIME_NAMES, is_event, role_of
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.overrides import Place, apply_overrides
from quarterdeck.modulekit.programs import ProgramDeclaration

STREAMS = frozenset({MapType.RINGBUF, MapType.PERF_EVENT_ARRAY})
PER_CPU = frozenset({MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH})
ARRAYS = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY})
ENTRIES = frozenset({MapType.HASH, MapType.LRU_HASH, MapType.LPM_TRIE}) | PER_CPU | ARRAYS
GLOBAL_SECTIONS = (".bss", ".data")

_INDEX_BYTES = 4
_BYTES = frozenset({MemberKind.CHARS, MemberKind.BYTES})
_LISTABLE = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A table's source before its columns have their final form."""

    source: TableSource
    drafts: list[Draft]


class Planner:
    """Makes the sources of one module's tables."""

    def __init__(
        self, module: str, opened: ObjectFile, programs: Iterable[ProgramDeclaration], types: list[str]
    ) -> None:
        """`types` are structs that the module's C defines, for messages about those its object lacks."""
        self._module = module
        self._object = opened
        self._programs = tuple(programs)
        self._types = types
        self._stack_maps = [name for name, each in opened.maps.items() if each.type == MapType.STACK_TRACE]

    def source(self, spec: TableSpec) -> TableSource:
        """The source of a table whose columns come from C; BadManifest where map, struct or column do not fit."""
        plan = self._plan(spec)
        drafts = _with_roles(distinct(plan.drafts))
        place = Place(table=spec.name, stack_maps=self._stack_maps)
        inferred = next((d for d in drafts if plan.source.kind is SourceKind.RECORDS and _is_ktime(d)), None)
        if inferred is not None:
            drafts = [_as_ktime(draft) if draft is inferred else draft for draft in drafts]
        drafts = apply_overrides(drafts, spec.columns, place)
        return self._finished(spec, plan.source, drafts, place)

    def outline(self, spec: TableSpec) -> TableSource:
        """The same without columns, for a transform: which maps, and how large their records are (0: not known)."""
        if self._kind(spec) is SourceKind.RECORDS and not spec.row:
            return self._finished(spec, self._shape(spec, SourceKind.RECORDS), [], Place(table=spec.name))
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
        touched = {*source.maps}
        writers = tuple(program.name for program in self._programs if program.refers & touched)
        return changed(source, table=table, fields=tuple(draft.field for draft in drafts), writers=writers)

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
        known = [*self._object.maps, *(v.name for v in self._object.variables.values() if not v.is_setting)]
        raise BadManifest(
            f"module.toml: table '{spec.name}': the program has no map and no global variable '{name}'.",
            hint=nearest(name, known),
        )

    def _shape(self, spec: TableSpec, kind: SourceKind) -> TableSource:
        """What of a source does not depend on its types."""
        table = Table(
            name=spec.name,
            columns=(),
            retention_s=round(parse_duration(spec.retention)),
            order=spec.order or ("nid", "time"),
            description=spec.description,
            module=self._module,
        )
        return TableSource(
            table=table,
            kind=kind,
            maps=sources_of(spec),
            record_size=0,
            interval_s=parse_duration(spec.interval),
            read=spec.read,
            per_cpu=spec.per_cpu,
            rate_limit=spec.rate_limit,
        )

    def _records(self, spec: TableSpec) -> Plan:
        layout = self._row_layout(spec)
        least = layout.size if layout.tail is not None else _least_size(layout)
        source = changed(self._shape(spec, SourceKind.RECORDS), record_size=layout.size, min_size=least)
        drafts = draft_columns(layout)
        if least < layout.size:
            drafts = [_cut_short(draft) if draft.field.offset == least else draft for draft in drafts]
        return Plan(source=source, drafts=drafts)

    def _row_layout(self, spec: TableSpec) -> Layout:
        if spec.row:
            return self._layout(spec, "row", spec.row)
        for name in sources_of(spec):
            value_type = self._object.maps[name].value_type
            if value_type is not None and self._object.maps[name].type == MapType.RINGBUF:
                return layout_of(self._object.btf, value_type)
        own = [name for name in self._types if is_event(name) and self._object.btf.find_composite(name) is not None]
        candidates = list(dict.fromkeys([*own, *self._object.candidate_event_structs()]))
        alone = next((each[0] for each in (own, candidates) if len(each) == 1), "")
        chosen = "event" if "event" in candidates else alone
        if not chosen:
            listed = ", ".join(list(dict.fromkeys([*candidates, *self._types]))[:12]) or "none"
            raise BadManifest(
                f"module.toml: table '{spec.name}' does not say which C struct the records of '{spec.from_}' are.",
                hint=f'Add row = "NAME" to it; candidates: {listed}.',
            )
        return self._layout(spec, "row", chosen)

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
        drafts = draft_columns(key, part="key") + draft_columns(value, part="value", offset=key.size)
        if spec.per_cpu == "each" and all(each.type in PER_CPU for each in declared):
            drafts.append(_cpu(drafts))
        source = changed(self._shape(spec, SourceKind.ENTRIES), record_size=key.size + value.size, key_size=key.size)
        return Plan(source=source, drafts=drafts)

    def _part(self, spec: TableSpec, declared: MapDeclaration, part: str) -> Layout:
        """The layout of a map's keys or values: as the manifest says, as its C type is, or a number of its size."""
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
        drafts = draft_columns(layout, part="value", offset=_INDEX_BYTES)
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
        """One row of all variables of a section, each named by itself."""
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
    """The names in `from`."""
    return (spec.from_,) if isinstance(spec.from_, str) else spec.from_


def _least_size(layout: Layout) -> int:
    """Bytes a record must have: programs send only the used part of an array at the end.

    Some do so with a text or bytes that make up most of the record, whatever stands behind them.
    """
    if not layout.fields:
        return layout.size
    last = max(layout.fields, key=lambda member: member.offset)
    if last.kind in {*_BYTES, MemberKind.ARRAY}:
        return last.offset or layout.size
    largest = max(layout.fields, key=lambda member: member.size)
    mostly = largest.kind in _BYTES and 2 * largest.size > layout.size
    return largest.offset if mostly and largest.offset else layout.size


def _cut_short(draft: Draft) -> Draft:
    """Bytes of which a record may have only the first: as many as there are, instead of zeros for the rest."""
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
    """The drafts with `time` first: the column of that role, or a second reading of the record's own moment."""
    timed = [draft for draft in drafts if draft.column.role is ColumnRole.TIME]
    if timed:
        return [*timed, *(draft for draft in drafts if draft not in timed)]
    moment = next((d for d in drafts if d.column.type is ColumnType.TIMESTAMP and d.path in KTIME_NAMES), None)
    if moment is None:
        return drafts
    column = changed(TIME, description=f"when it happened, from '{moment.column.name}'")
    return [Draft(path="time", column=column, field=changed(moment.field, column="time")), *drafts]
