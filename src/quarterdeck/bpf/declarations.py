"""The declarations in the C source of an eBPF object: its maps, its global variables, and structs that look like
events.

It owns the conventions that libbpf's macros encode in types (`__uint`, `__type`, `__array`) and the positions of
variables. It reads only the object's bytes; it opens and loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quarterdeck.bpf.btf import (
    Array,
    Btf,
    BtfError,
    Composite,
    DataSection,
    Enum,
    Kind,
    Modifier,
    Placement,
    Pointer,
    Variable,
)
from quarterdeck.bpf.btf.graph import MAX_DEPTH
from quarterdeck.bpf.elf import Elf, ElfError, Section
from quarterdeck.bpf.layout import MAX_BYTES
from quarterdeck.bpf.uapi import MapType

_EBPF_MACHINE = 247
_MAPS_SECTION = ".maps"
_VARIABLE_SECTIONS = re.compile(r"\.(rodata|data|bss)(\.|$)")
#: structs that programs get from the kernel's headers for their contexts
_KERNEL_PREFIXES = ("trace_event_", "perf_", "hw_perf_", "bpf_", "__bpf_")
_ANONYMOUS = frozenset({"struct", "union"})
_EVENT_NAME = re.compile(r"(^|_)(event|evt|record|sample)s?(_|\d|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDeclaration:
    """A map as the source declares it. Sizes are bytes, and 0 when the loader or the kernel decides."""

    name: str
    #: BPF_MAP_TYPE_*, as numbered by include/uapi/linux/bpf.h
    type: int
    key_size: int = 0
    value_size: int = 0
    #: types of key and value if the source names them (`__type`), for `layout_of`
    key_type: int | None = None
    value_type: int | None = None
    max_entries: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableDeclaration:
    """A global variable: `size` bytes at `offset` of `section`. Its initial bytes are `value` (empty: all zero)."""

    name: str
    section: str
    type_id: int
    offset: int
    size: int
    value: bytes
    #: declared `const volatile`: meant to be set before the object is loaded
    is_setting: bool


class ObjectFile:
    """The declarations of one compiled eBPF object, from its bytes.

    Raises `ElfError` or `BtfError` when they are damaged.
    """

    def __init__(self, data: bytes) -> None:
        self.elf = Elf(data)
        if self.elf.machine != _EBPF_MACHINE:
            found = f"machine {self.elf.machine}: was it compiled for `-target bpfel`?"
            raise ElfError(f"expected an eBPF object (machine {_EBPF_MACHINE}), found {found}")
        section = self.elf.section(".BTF")
        if section is None:
            raise BtfError("expected the object to carry its types, found no .BTF section: compile it with -g")
        self.btf = Btf(self.elf.content(section))

    @cached_property
    def maps(self) -> dict[str, MapDeclaration]:
        """Return the maps that the source declares, by name and in its order."""
        declared = (self._map(variable) for variable, _ in self._placed(_MAPS_SECTION))
        return {declaration.name: declaration for declaration in declared}

    @cached_property
    def variables(self) -> dict[str, VariableDeclaration]:
        """Return the variables in `.rodata*`, `.data*` and `.bss*`, by name."""
        found: dict[str, VariableDeclaration] = {}
        for section in self.elf.sections:
            if _VARIABLE_SECTIONS.match(section.name):
                content = self.elf.content(section)
                offsets = self._offsets(section)
                for variable, placement in self._placed(section.name):
                    offset = offsets.get(variable.name, placement.offset)
                    found[variable.name] = self._variable(variable, section, offset=offset, content=content)
        return found

    def _placed(self, section: str) -> Iterator[tuple[Variable, Placement]]:
        type_id = self.btf.find(section, Kind.DATA_SECTION)
        data_section = None if type_id is None else self.btf.type(type_id)
        if isinstance(data_section, DataSection):
            for placement in data_section.placements:
                variable = self.btf.type(placement.variable)
                if isinstance(variable, Variable):
                    yield variable, placement

    def _offsets(self, section: Section) -> dict[str, int]:
        """Return the offsets of symbols in `section`. In the BTF of an unlinked object they are zeros."""
        symbols = self.elf.symbols()
        if symbols is None:
            return {}
        indexes: list[int] = np.flatnonzero(symbols.table["section"] == section.index).tolist()
        return {symbols.name(index): int(symbols.table["value"][index]) for index in indexes}

    def _variable(self, variable: Variable, section: Section, *, offset: int, content: bytes) -> VariableDeclaration:
        size = self.btf.size(variable.target)
        if offset + size > section.size or size > MAX_BYTES:
            found = f"bytes {offset} to {offset + size} of {section.size}"
            raise BtfError(f"expected variable {variable.name!r} to lie within section {section.name!r}, found {found}")
        return VariableDeclaration(
            name=variable.name,
            section=section.name,
            type_id=variable.target,
            offset=offset,
            size=size,
            value=content[offset : offset + size],
            is_setting=section.name.startswith(".rodata") and self._is_volatile(variable.target),
        )

    def _is_volatile(self, type_id: int) -> bool:
        """Return whether volatile is among the qualifiers. In an array, C puts them on the elements."""
        for _ in range(MAX_DEPTH):
            found = self.btf.type(type_id)
            if isinstance(found, Modifier) and found.kind is not Kind.TYPEDEF:
                if found.kind is Kind.VOLATILE:
                    return True
                type_id = found.target
            elif isinstance(found, Array):
                type_id = found.element
            else:
                return False
        return False

    def _map(self, variable: Variable) -> MapDeclaration:
        definition = self.btf.resolve(variable.target)
        if not isinstance(definition, Composite):
            raise BtfError(f"expected map {variable.name!r} to be declared as a struct, found something else")
        members = {member.name: member.type_id for member in definition.members}
        numbers = {name: self._number(type_id) for name, type_id in members.items()}
        key, value = self._pointee(members.get("key")), self._pointee(members.get("value"))
        return MapDeclaration(
            name=variable.name,
            type=numbers.get("type", 0),
            key_size=numbers.get("key_size", 0) if key is None else self.btf.size(key),
            value_size=numbers.get("value_size", 0) if value is None else self.btf.size(value),
            key_type=key,
            value_type=value,
            max_entries=numbers.get("max_entries", 0),
            flags=numbers.get("map_flags", 0),
        )

    def _number(self, type_id: int) -> int:
        """Return n: `__uint(name, n)` is a pointer to an array of n, newer `__ulong` an enum with the only value n."""
        match self.btf.resolve(type_id):
            case Pointer() as pointer:
                array = self.btf.resolve(pointer.target)
                return array.count if isinstance(array, Array) else 0
            case Enum() as enum:
                return next(iter(enum.values.values()), 0)
            case _:
                return 0

    def _pointee(self, type_id: int | None) -> int | None:
        """Return the T of `__type(name, T)`, a pointer to T."""
        pointer = None if type_id is None else self.btf.resolve(type_id)
        return pointer.target if isinstance(pointer, Pointer) else None

    def candidate_event_structs(self) -> list[str]:
        """Return the structs that may be the records of a ring or perf buffer, the most likely first.

        Compilers keep only types that a global object refers to. Programs declare `struct event *unused;` to keep their
        event, so types that a global points to come first, then names that suggest an event, then the values of per-CPU
        arrays, which often hold the event while it is filled.
        """
        pointed = [self._pointee(variable.type_id) for variable in self.variables.values()]
        values = [each.value_type for each in self.maps.values() if each.type == MapType.PERCPU_ARRAY]
        named = [
            type_id
            for type_id in self.btf.ids(Kind.STRUCT, Kind.TYPEDEF)
            if _EVENT_NAME.search(self.btf.spell(type_id))
        ]
        return list(dict.fromkeys(self._struct_names([*pointed, *named, *values])))

    def _struct_names(self, type_ids: list[int | None]) -> Iterator[str]:
        for type_id in type_ids:
            if type_id is not None and isinstance(struct := self.btf.resolve(type_id), Composite):
                name = struct.name or self.btf.spell(type_id)
                if struct.size and not name.startswith(_KERNEL_PREFIXES) and name not in _ANONYMOUS:
                    yield name
