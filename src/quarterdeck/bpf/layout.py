"""The layout of a C type: a struct, union, array or plain number as a flat list of fields.

It owns the translation of a BTF type to `Layout`: nested structs become paths, padding is dropped, and the members of a
union become alternatives for the same bytes. It never reads a value; numpy does, by `Layout.dtype`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from math import prod

import numpy as np

from quarterdeck.bpf.btf import Array, Btf, Composite, Enum, Float, Int, Kind, Member, Pointer
from quarterdeck.bpf.btf.graph import MAX_DEPTH, endless
from quarterdeck.bpf.errors import BpfError

#: an array of at most this many structs becomes separate fields for each element, a longer one opaque bytes
MAX_STRUCT_ELEMENTS = 16
#: limit of fields; more, or a larger value, are certainly a mistake
MAX_FIELDS = 1024
MAX_BYTES = 64 << 20
#: limit for damaged types, which can branch endlessly without a field
_MAX_STEPS = 1 << 16

#: structs that every reader treats as one value, by their C name
_WHOLE_STRUCTS = frozenset({"in6_addr"})
#: structs in map values that belong to the kernel, of which user space sees no meaningful bytes
_KERNEL_STRUCTS = frozenset(
    {"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_task_work", "bpf_refcount"}
    | {"bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node"}
)


class LayoutError(BpfError):
    """The type cannot be expressed as fields."""


class FieldKind(StrEnum):
    """The kind of a field's bytes."""

    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    #: an integer with names for some values
    ENUM = "enum"
    #: `char[n]`: text that ends at the first NUL, or at n bytes.
    CHARS = "chars"
    #: `u8[n]` and everything without another kind: opaque bytes
    BYTES = "bytes"
    #: `count` elements of kind `element`.
    ARRAY = "array"
    #: `width` bits from bit `shift` of a little-endian storage unit of `size` bytes.
    BITFIELD = "bitfield"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A member of a union to which the field belongs, and the bytes that the members share."""

    index: int
    #: empty for an anonymous struct
    member: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. Sizes and offsets are bytes from the start of the layout."""

    #: member names from the outermost to the innermost, with the index for an element of an array of structs; () for a
    #: plain value
    path: tuple[str, ...]
    kind: FieldKind
    offset: int
    #: total bytes; for a bit-field, those of its storage unit
    size: int
    #: outermost typedef or tag in C's notation: `__be32`, `in6_addr`, `u8[16]`, `task_struct *`
    type_name: str
    signed: bool = False
    #: ARRAY: number of elements, each of kind `element` and of size // count bytes
    count: int = 1
    element: FieldKind | None = None
    #: BITFIELD: the lowest bit, and the number of bits
    shift: int = 0
    width: int = 0
    #: names of values, also for arrays and bit-fields of an enum
    enum: Mapping[str, int] | None = None
    #: the innermost union to which the field belongs
    union: Alternative | None = None

    @property
    def name(self) -> str:
        """Return the path in C's notation, unique in its layout; `value` for a plain value."""
        return ".".join(self.path) or "value"

    def dtype(self) -> np.dtype[np.generic]:
        """Return the numpy type of the field: fixed bytes for CHARS and BYTES, the storage unit for a bit-field."""
        if self.kind is FieldKind.ARRAY and self.element is not None:
            return np.dtype((_scalar_dtype(self.element, self.size // self.count, signed=self.signed), (self.count,)))
        return _scalar_dtype(self.kind, self.size, signed=self.signed)


@dataclass(frozen=True)
class Layout:
    """The fields of a value of `size` bytes, in order of declaration."""

    type_name: str
    size: int
    fields: tuple[Field, ...]
    #: the flexible array at the end of a struct (`char data[]`), with `kind` and `size` of one element, and `count` 0
    tail: Field | None = None

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Return the fields by `Field.name`."""
        return {field.name: field for field in self.fields}

    def dtype(self) -> np.dtype[np.void]:
        """Return the numpy structured type of one value of `size` bytes, with one entry for each field by its name."""
        return np.dtype(
            {
                "names": [field.name for field in self.fields],
                "formats": [field.dtype() for field in self.fields],
                "offsets": [field.offset for field in self.fields],
                "itemsize": self.size,
            }
        )


def layout_of(btf: Btf, type_id: int) -> Layout:
    """Return the layout of type `type_id`. Raise `LayoutError` or `BtfError` if it has no size or layout."""
    name, size = btf.spell(type_id), btf.size(type_id)
    if size > MAX_BYTES:
        raise LayoutError(f"expected {name!r} to take at most {MAX_BYTES} bytes, found {size}")
    walk = _Walk(btf, size)
    walk.visit(type_id, Field(path=(), kind=FieldKind.BYTES, offset=0, size=0, type_name=name), depth=0)
    layout = Layout(name, size, tuple(walk.fields), walk.tail)
    if len(layout.by_name) != len(layout.fields):
        raise LayoutError(f"expected every member of {name!r} to have a name of its own, found one twice")
    return layout


def layout_of_struct(btf: Btf, name: str) -> Layout:
    """Return the layout of the struct or union called `name`, directly or by a typedef.

    Raise `LayoutError` if none exists.
    """
    type_id = btf.find_composite(name)
    if type_id is None:
        raise LayoutError(f"expected a struct or union called {name!r} in the object's types, found none")
    return layout_of(btf, type_id)


def _scalar_dtype(kind: FieldKind, size: int, *, signed: bool) -> np.dtype[np.generic]:
    match kind:
        case FieldKind.BOOL:
            return np.dtype("?")
        case FieldKind.FLOAT:
            return np.dtype(f"<f{size}")
        case FieldKind.CHARS:
            return np.dtype(f"S{size}")
        case FieldKind.BYTES | FieldKind.ARRAY:
            return np.dtype(f"V{size}")
        case FieldKind.INT | FieldKind.UINT | FieldKind.ENUM:
            return np.dtype(f"<{'i' if signed else 'u'}{size}")
        case FieldKind.BITFIELD:
            return np.dtype(f"<u{size}")


class _Walk:
    """A depth-first walk that collects the fields of a type. `at` is a field with its path, offset and union."""

    def __init__(self, btf: Btf, size: int) -> None:
        self._btf = btf
        self._size = size
        self.fields: list[Field] = []
        self.tail: Field | None = None
        self._steps = 0

    def visit(self, type_id: int, at: Field, *, depth: int) -> None:
        """Add the fields of a value of type `type_id` at `at`."""
        self._step()
        if depth > MAX_DEPTH:
            raise endless(type_id)
        at = replace(at, type_name=self._btf.spell(type_id))
        match self._btf.resolve(type_id):
            case Composite() as composite if composite.name in _KERNEL_STRUCTS:
                return
            case Composite() as composite if composite.name not in _WHOLE_STRUCTS:
                self._composite(composite, at, depth=depth)
            case Array() as array:
                self._array(array, at, depth=depth)
            case _:
                self._add(self._scalar(type_id, at))

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise LayoutError(f"expected a type of at most {_MAX_STEPS} members in all, found more")

    def _add(self, field: Field) -> None:
        if field.offset + field.size > self._size:
            found = f"its end at byte {field.offset + field.size}"
            raise LayoutError(f"expected {field.name!r} to lie within {self._size} bytes, found {found}")
        if len(self.fields) == MAX_FIELDS:
            raise LayoutError(f"expected at most {MAX_FIELDS} fields, found more by {field.name!r}")
        self.fields.append(field)
        self.tail = None

    def _composite(self, composite: Composite, at: Field, *, depth: int) -> None:
        for index, member in enumerate(composite.members):
            self._step()
            path = (*at.path, member.name) if member.name else at.path
            union = at.union
            if composite.kind is Kind.UNION:
                union = Alternative(index, member.name, at.offset, composite.size)
            inner = replace(at, path=path, union=union, offset=at.offset + member.bit_offset // 8)
            if self._is_bit_field(member):
                if member.name:
                    self._add(self._bit_field(member, replace(inner, offset=at.offset)))
            else:
                self.visit(member.type_id, inner, depth=depth + 1)

    def _is_bit_field(self, member: Member) -> bool:
        if member.bit_width or member.bit_offset % 8:
            return True
        # Compilers before kind_flag encoded it in the integer type.
        match self._btf.resolve(member.type_id):
            case Int() as integer:
                return integer.bits != integer.size * 8 and not integer.boolean
            case _:
                return False

    def _bit_field(self, member: Member, at: Field) -> Field:
        """Return the smallest storage unit that contains all the bits and ends within the value."""
        first, width = at.offset * 8 + member.bit_offset, member.bit_width
        base = self._scalar(member.type_id, at)
        integer = self._btf.resolve(member.type_id)
        if isinstance(integer, Int) and not width:
            first, width = first + integer.bit_offset, integer.bits
        size = _power_of_two(-(-(first % 8 + width) // 8))
        offset = min(first // 8, self._size - size)
        if offset < 0 or size > 8 or not width:
            raise LayoutError(f"expected bit-field {base.name!r} to fit an integer, found {width} bits at bit {first}")
        return replace(base, kind=FieldKind.BITFIELD, offset=offset, size=size, shift=first - offset * 8, width=width)

    def _array(self, array: Array, at: Field, *, depth: int) -> None:
        """Add one field for an array of scalars or texts of any dimensions, or fields for each of a few structs."""
        counts, element_id = [array.count], array.element
        while isinstance(inner := self._btf.resolve(element_id), Array):
            counts.append(inner.count)
            element_id = inner.element
            if len(counts) > MAX_DEPTH:
                raise endless(element_id)
        if isinstance(inner, Composite) and inner.name not in _WHOLE_STRUCTS:
            self._structs(inner, element_id, at, count=prod(counts), depth=depth)
            return
        element = self._scalar(element_id, at)
        if isinstance(inner, Int) and inner.size == 1 and not inner.boolean:
            if inner.name == "char":
                element = replace(element, kind=FieldKind.CHARS, size=counts.pop())
            elif not inner.signed:
                element = replace(element, kind=FieldKind.BYTES, size=counts.pop())
        self._repeat(element, at, counts=counts)

    def _repeat(self, element: Field, at: Field, *, counts: list[int]) -> None:
        """Add an array of `counts` elements, or the element itself when its text uses up all dimensions."""
        count = prod(counts)
        field = replace(element, type_name=at.type_name)
        if counts:
            field = replace(field, kind=FieldKind.ARRAY, element=element.kind, count=count, size=element.size * count)
        if field.size:
            self._add(field)
        else:
            self.tail = replace(element, type_name=at.type_name, count=0, size=element.size or 1)

    def _structs(self, inner: Composite, element_id: int, at: Field, *, count: int, depth: int) -> None:
        if count > MAX_STRUCT_ELEMENTS:
            self._add(replace(at, kind=FieldKind.BYTES, size=count * inner.size))
            return
        for index in range(count):
            element = replace(at, path=(*at.path, str(index)), offset=at.offset + index * inner.size)
            self.visit(element_id, element, depth=depth + 1)

    def _scalar(self, type_id: int, at: Field) -> Field:
        """Return `at` with the kind and size of a type that is one value."""
        at = replace(at, type_name=self._btf.spell(type_id))
        match self._btf.resolve(type_id):
            case Int() as integer if integer.boolean and integer.size == 1:
                return replace(at, kind=FieldKind.BOOL, size=1)
            case Int() as integer if integer.size in {1, 2, 4, 8}:
                kind = FieldKind.INT if integer.signed else FieldKind.UINT
                return replace(at, kind=kind, size=integer.size, signed=integer.signed)
            case Enum() as enum if enum.size in {1, 2, 4, 8}:
                return replace(at, kind=FieldKind.ENUM, size=enum.size, signed=enum.signed, enum=enum.values)
            case Float() as number if number.size in {2, 4, 8}:
                return replace(at, kind=FieldKind.FLOAT, size=number.size)
            case Pointer():
                return replace(at, kind=FieldKind.UINT, size=8)
            case _:
                return replace(at, kind=FieldKind.BYTES, size=self._btf.size(type_id))


def _power_of_two(size: int) -> int:
    return 1 << max(size - 1, 0).bit_length()
