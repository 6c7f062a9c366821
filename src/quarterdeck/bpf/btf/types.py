"""The nodes of a BTF type graph: one small record for each kind of C type.

It defines only their fields; `target`, `type_id`, `element` and similar fields are ids in the `Btf` that returned them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """The kinds of types, as numbered by include/uapi/linux/btf.h (ENUM64 since Linux 6.0)."""

    VOID = 0
    INT = 1
    POINTER = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FORWARD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNCTION = 12
    PROTOTYPE = 13
    VARIABLE = 14
    DATA_SECTION = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


@dataclass(frozen=True, slots=True)
class Void:
    """Type 0: no value."""

    name: str = "void"


@dataclass(frozen=True, slots=True)
class Int:
    """An integer, `bool` or `char`; `bits` is smaller than the size in bit-fields of old compilers."""

    name: str
    size: int
    bits: int
    bit_offset: int
    signed: bool
    boolean: bool


@dataclass(frozen=True, slots=True)
class Float:
    """A floating-point number of `size` bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer to `target`."""

    target: int


@dataclass(frozen=True, slots=True)
class Array:
    """`count` times `element`; count 0 is a flexible array."""

    element: int
    count: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union; `bit_width` is 0 unless it is a bit-field."""

    name: str
    type_id: int
    bit_offset: int
    bit_width: int


@dataclass(frozen=True, slots=True)
class Composite:
    """A struct or union of `size` bytes; the name is empty for an anonymous one."""

    name: str
    size: int
    members: tuple[Member, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum of `size` bytes with its values by name."""

    name: str
    size: int
    signed: bool
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Forward:
    """A struct or union that is named but not defined."""

    name: str
    is_union: bool


@dataclass(frozen=True, slots=True)
class Modifier:
    """Another name for, or a qualifier of, `target`: typedef, const, volatile, restrict or type tag, as `kind` says."""

    name: str
    target: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `target` is its prototype, `linkage` 0 static, 1 global, 2 extern."""

    name: str
    target: int
    linkage: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a prototype; the last one of a variadic function has no name and type 0."""

    name: str
    type_id: int


@dataclass(frozen=True, slots=True)
class Prototype:
    """The signature of a function."""

    returns: int
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A global variable; `linkage` is 0 static, 1 global, 2 extern."""

    name: str
    target: int
    linkage: int


@dataclass(frozen=True, slots=True)
class Placement:
    """The position of one variable in a data section, in bytes. Compilers leave offset 0 for the linker to fill in."""

    variable: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DataSection:
    """The variables of one ELF section, such as `.rodata` or `.maps`."""

    name: str
    size: int
    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class DeclTag:
    """A tag on `target`, or on its member or parameter number `component` (-1: on the whole)."""

    name: str
    target: int
    component: int


BtfType = (
    Void
    | Int
    | Float
    | Pointer
    | Array
    | Composite
    | Enum
    | Forward
    | Modifier
    | Function
    | Prototype
    | Variable
    | DataSection
    | DeclTag
)
