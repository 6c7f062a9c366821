"""C fields → columns: the name, type and place in the record of each, before the changes of the manifest.

It owns the rules of docs/reference/module-format.md: names are member paths joined by `_`, types follow C. It reads
only layouts; `plan` chooses the structs of a table, and `overrides` applies the manifest's changes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from quarterdeck.bpf.layout import Field as Member
from quarterdeck.bpf.layout import FieldKind as MemberKind
from quarterdeck.bpf.layout import Layout
from quarterdeck.model.modules import Field, FieldKind
from quarterdeck.model.tables import SERVER_COLUMNS, Column, ColumnType
from quarterdeck.modulekit.meanings import HISTOGRAM_NAME, TEXT_NAMES, is_counter, unit_of

_RESERVED = frozenset({"time", *(column.name for column in SERVER_COLUMNS)})
_MAX_TEXTS = 32  # elements of an array of texts that become separate columns
_ENUM_BYTES = 4  # size of the largest enum that is sent as an enum column (an int32); of a larger one, names are sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A column and the place from which it is read. `path` is its path in C from the record: `key.pid`, `addr.v4`."""

    path: str
    column: Column
    field: Field

    def named(self, name: str) -> Draft:
        """Return the same draft with another name."""
        return replace(self, column=changed(self.column, name=name), field=changed(self.field, column=name))


def draft_columns(layout: Layout, *, part: str = "", offset: int = 0, owner: str = "") -> list[Draft]:
    """Return the columns of a struct, or of the one value that `layout` is, at `offset` in the record.

    `part` is "key" or "value" for columns of a map (and of globals); only numbers in a value can be counters. `owner`
    is the map or variable, whose name is the only evidence of what a plain value means.
    """
    members = [piece for member in layout.fields for piece in _texts_apart(member)]
    drafts = [_draft(member, part=part, offset=offset, owner=owner) for member in members]
    if layout.tail is not None:
        tail = _draft(layout.tail, part=part, offset=offset, owner=owner)
        kind = ColumnType.STRING if layout.tail.kind is MemberKind.CHARS else ColumnType.BINARY
        field = changed(tail.field, kind=FieldKind.TAIL, size=0, count=1, additive=False)
        drafts.append(replace(tail, column=changed(tail.column, type=kind, item=None, histogram=""), field=field))
    return drafts


def aliases(draft: Draft) -> set[str]:
    """Return the other names by which a manifest may refer to a column."""
    return {draft.path, draft.path.replace(".", "_"), draft.path.rpartition(".")[2]}


def distinct(drafts: list[Draft]) -> list[Draft]:
    """Return the drafts with distinct names: a value's x becomes `value_x` if a key has x; reserved ones get `row_`."""
    shared = Counter(draft.column.name for draft in drafts)
    taken: set[str] = set(_RESERVED)
    result: list[Draft] = []
    for draft in drafts:
        name, part = draft.column.name, draft.path.partition(".")[0]
        if shared[name] > 1 and part == "value" and name != part:
            name = f"{part}_{name}"
        if name in _RESERVED:
            name = f"row_{name}"
        wanted, number = name, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        result.append(draft.named(name))
    return result


def _texts_apart(member: Member) -> list[Member]:
    """Return one member for each element of an array of a few texts or byte strings."""
    if member.kind is not MemberKind.ARRAY or member.element not in {MemberKind.CHARS, MemberKind.BYTES}:
        return [member]
    if not 0 < member.count <= _MAX_TEXTS:
        return [replace(member, kind=MemberKind.BYTES)]
    size = member.size // member.count
    return [
        replace(
            member, path=(*member.path, str(index)), kind=member.element, offset=member.offset + index * size, size=size
        )
        for index in range(member.count)
    ]


def _draft(member: Member, *, part: str, offset: int, owner: str) -> Draft:
    name = _column_name(member.path) or part or "value"
    column, field = _read(member, name)
    counts = _is_number(member, column, field) and is_counter(name if member.path else owner.lower())
    field = changed(field, offset=member.offset + offset, additive=part == "value" and counts)
    return Draft(path=".".join((*([part] if part else []), *member.path)) or "value", column=column, field=field)


def _is_number(member: Member, column: Column, field: Field) -> bool:
    """Return whether a member's values can be added up, unlike enums, bools, pointers, network addresses and ports."""
    number = field.kind in {FieldKind.SCALAR, FieldKind.ARRAY, FieldKind.BITS} and not member.enum
    return number and column.type is not ColumnType.BOOL and not field.big_endian and not member.type_name.endswith("*")


def _column_name(path: tuple[str, ...]) -> str:
    """Return `("addr", "v4")` as `addr_v4`, in lower case and without leading underscores."""
    name = re.sub(r"[^a-z0-9_]", "_", "_".join(path).lower()).lstrip("_")[:63]
    return f"c_{name}" if name[:1].isdigit() else name


def _read(member: Member, name: str) -> tuple[Column, Field]:
    """Return the column of a member and how its bytes are read, except the offset."""
    column = Column(name=name, type=_number_type(member), unit=unit_of(name))
    field = Field(column=name, kind=FieldKind.SCALAR, offset=0, size=member.size, signed=member.signed)
    match member.kind:
        case MemberKind.BOOL:
            column = changed(column, type=ColumnType.BOOL)
        case MemberKind.INT | MemberKind.UINT:
            field = changed(field, big_endian=member.type_name.startswith("__be"))
        case MemberKind.ENUM:
            column = _enumerated(column, member)
        case MemberKind.FLOAT:
            field = changed(field, floating=True)
        case MemberKind.BITFIELD:
            column = _enumerated(column, member)
            field = changed(field, kind=FieldKind.BITS, shift=member.shift, width=member.width)
        case MemberKind.ARRAY:
            column, field = _array(column, field, member)
        case MemberKind.CHARS | MemberKind.BYTES:
            column, field = _bytes(column, field, member)
    return column, field


def _number_type(member: Member) -> ColumnType:
    size = member.size
    if member.kind is MemberKind.ARRAY and member.count:
        size //= member.count
    if member.kind is MemberKind.BITFIELD:
        if member.type_name in {"bool", "_Bool"}:
            return ColumnType.BOOL
        size = next(each for each in (1, 2, 4, 8) if each * 8 >= member.width)
    if MemberKind.FLOAT in {member.kind, member.element}:
        return ColumnType.FLOAT64 if size == 8 else ColumnType.FLOAT32
    return (
        ColumnType(f"{'' if member.signed else 'u'}int{8 * min(size, 8)}")
        if size in {1, 2, 4, 8}
        else ColumnType.BINARY
    )


def _enumerated(column: Column, member: Member) -> Column:
    if not member.enum:
        return column
    values: dict[str, str] = {}
    for name, number in member.enum.items():
        values.setdefault(str(number), name)  # of two names for one number, the first is used
    kind = ColumnType.STRING if member.size > _ENUM_BYTES else ColumnType.ENUM
    return changed(column, type=kind, values=values, unit="")


def _array(column: Column, field: Field, member: Member) -> tuple[Column, Field]:
    item = ColumnType.BOOL if member.element is MemberKind.BOOL else column.type
    histogram = "log2" if member.path[-1:] == (HISTOGRAM_NAME,) else ""
    size = member.size // member.count if member.count else member.size
    field = changed(
        field,
        kind=FieldKind.ARRAY,
        size=size,
        count=member.count,
        floating=member.element is MemberKind.FLOAT,
        big_endian=member.type_name.startswith("__be"),
    )
    return changed(column, type=ColumnType.LIST, item=item, histogram=histogram), field


def _bytes(column: Column, field: Field, member: Member) -> tuple[Column, Field]:
    if member.type_name == "in6_addr":
        kind, read = ColumnType.IPV6, FieldKind.BYTES
    elif member.kind is MemberKind.CHARS or (member.path and member.path[-1] in TEXT_NAMES):
        kind, read = ColumnType.STRING, FieldKind.CHARS
    else:
        kind, read = ColumnType.BINARY, FieldKind.BYTES
    return changed(column, type=kind, unit=""), changed(field, kind=read, signed=False)
