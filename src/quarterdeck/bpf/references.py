"""References of the functions of an eBPF object: maps, data, helpers, and other functions.

It owns the analysis of instructions and relocations (as libbpf's linker reads them) that is needed to follow calls,
callbacks and tail calls from a program to all that it may access. It loads nothing. Bytes without a symbol are ignored.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from quarterdeck.bpf.elf import Elf, Section, Symbols

MAP_SECTIONS = frozenset({".maps", "maps"})

_EXECUTABLE = 4  # SHF_EXECINSTR
_REL = 9  # SHT_REL
_FUNCTION, _SECTION = 2, 3  # STT_*
_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("value", "<i4")])
_RELOCATION = np.dtype([("offset", "<u8"), ("info", "<u8")])
_CALL, _LOAD_64 = 0x85, 0x18
_HELPER, _LOCAL_CALL = 0, 1  # values of the source register of a call
_MAP_ARGUMENT = 1  # r1
_DELETE = 3  # bpf_map_delete_elem

#: the start of a function: section index, offset
_Place = tuple[int, int]


def relocations(elf: Elf, section: Section) -> Iterator[tuple[int, int]]:
    """Return pairs: offset in the section, index of the symbol it refers to."""
    for each in elf.sections:
        if each.type == _REL and each.name == f".rel{section.name}":
            content = elf.content(each)
            table = np.frombuffer(content[: len(content) // 16 * 16], _RELOCATION)
            yield from zip(table["offset"].tolist(), (table["info"] >> np.uint64(32)).tolist(), strict=True)


@dataclass(slots=True)
class References:
    """Everything that a function, and all functions that it calls, may access."""

    #: maps, data sections and variables, by name
    names: set[str] = field(default_factory=set[str])
    #: numbers of helpers
    helpers: set[int] = field(default_factory=set[int])
    #: maps from which entries are deleted; "" stands for a map that cannot be determined
    deletes: set[str] = field(default_factory=set[str])

    def add(self, other: References) -> None:
        """Add the references of another function."""
        self.names |= other.names
        self.helpers |= other.helpers
        self.deletes |= other.deletes


class ReferenceGraph:
    """The functions of an object and their references. Raises `ElfError` when its tables are damaged."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._own: dict[_Place, References] = {}
        self._calls: dict[_Place, set[_Place]] = {}
        for section in elf.sections:
            if section.flags & _EXECUTABLE and section.size and section.index in self._starts:
                self._read(section)

    def reach(self, section: int, offset: int) -> References:
        """Return the references of the function at `offset` of the section, directly or through its calls."""
        found, waiting, seen = References(), [(section, offset)], set[_Place]()
        while waiting:
            place = waiting.pop()
            if place in seen or place not in self._own:
                continue
            seen.add(place)
            found.add(self._own[place])
            waiting += self._calls[place]
            for name in self._own[place].names & self._contents.keys():  # programs to jump to, maps within maps
                waiting += self._contents[name][0]
                found.names |= self._contents[name][1]
        return found

    # ── symbols ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @cached_property
    def _symbols(self) -> Symbols | None:
        return self._elf.symbols()

    @cached_property
    def _starts(self) -> dict[int, list[int]]:
        """Return the offsets at which functions begin, in order, for each section with functions."""
        starts: dict[int, list[int]] = {}
        if self._symbols is not None:
            table = self._symbols.table
            for index in np.flatnonzero(self._symbols.kinds == _FUNCTION).tolist():
                starts.setdefault(int(table["section"][index]), []).append(int(table["value"][index]))
        return {section: sorted(set(found)) for section, found in starts.items()}

    def _function_at(self, section: int, offset: int) -> _Place | None:
        """Return the function that contains this byte."""
        starts = self._starts.get(section, [])
        index = bisect_right(starts, offset) - 1
        return (section, starts[index]) if index >= 0 else None

    @cached_property
    def _named(self) -> dict[int, list[tuple[int, int, str]]]:
        """Return (offset, size, name) of the symbols in each section except functions and sections, by offset."""
        named: dict[int, list[tuple[int, int, str]]] = {}
        if self._symbols is not None:
            table, kinds = self._symbols.table, self._symbols.kinds
            for index in np.flatnonzero((kinds != _FUNCTION) & (kinds != _SECTION)).tolist():
                place = int(table["value"][index]), int(table["size"][index]), self._symbols.name(index)
                named.setdefault(int(table["section"][index]), []).append(place)
        return {section: sorted(places) for section, places in named.items()}

    def _name_at(self, section: int, offset: int) -> str:
        """Return the map or variable that contains this byte of a section; "" if none is known."""
        named = self._named.get(section, [])
        index = bisect_right(named, offset, key=lambda place: place[0]) - 1
        if index < 0:
            return ""
        start, size, name = named[index]
        return name if offset < start + max(size, 1) else ""

    # ── instructions ─────────────────────────────────────────────────────────────────────────────────────────────────
    def _read(self, section: Section) -> None:
        content = self._elf.content(section)
        code = np.frombuffer(content[: len(content) // 8 * 8], _INSTRUCTION)
        for start in self._starts[section.index]:
            self._own[section.index, start] = References()
            self._calls[section.index, start] = set()
        argument: dict[_Place, dict[int, str]] = {}  # the maps that each function loads into r1, and where
        relocated: set[int] = set()
        for offset, number in relocations(self._elf, section):
            caller = self._function_at(section.index, offset)
            if caller is None or offset % 8 or offset // 8 >= len(code) or self._symbols is None:
                continue
            relocated.add(offset // 8)
            name = self._refer(caller, code[offset // 8], number)
            if name and int(code["registers"][offset // 8]) & 0xF == _MAP_ARGUMENT:
                argument.setdefault(caller, {})[offset // 8] = name
        for index in np.flatnonzero(code["code"] == _CALL).tolist():
            caller = self._function_at(section.index, index * 8)
            if caller is not None:
                self._call(caller, index, code[index], relocated=index in relocated, maps=argument.get(caller, {}))

    def _refer(self, caller: _Place, instruction: np.void, number: int) -> str:
        """Record the reference of one relocated instruction, and return the name if it is a map."""
        if self._symbols is None or number >= len(self._symbols):
            return ""
        section, value = int(self._symbols.table["section"][number]), int(self._symbols.table["value"][number])
        if section >= len(self._elf.sections):
            return ""
        where, inner = self._elf.sections[section], int(instruction["value"])
        if where.flags & _EXECUTABLE:
            at = value + ((inner + 1) * 8 if instruction["code"] == _CALL else inner)
            if (callee := self._function_at(section, at)) is not None:
                self._calls[caller].add(callee)
            return ""
        of_section = int(self._symbols.kinds[number]) == _SECTION
        name = self._name_at(section, value + inner) if of_section else self._symbols.name(number)
        is_map = where.name in MAP_SECTIONS
        self._own[caller].names |= {name} if is_map else {name, where.name}
        return name if is_map else ""

    def _call(self, caller: _Place, index: int, instruction: np.void, *, relocated: bool, maps: dict[int, str]) -> None:
        kind, value = int(instruction["registers"]) >> 4, int(instruction["value"])
        if kind == _LOCAL_CALL and not relocated:  # within the section, resolved by the assembler
            if (callee := self._function_at(caller[0], (index + 1 + value) * 8)) is not None:
                self._calls[caller].add(callee)
        elif kind == _HELPER:
            self._own[caller].helpers.add(value)
            if value == _DELETE:
                before = [place for place in maps if place < index]
                self._own[caller].deletes.add(maps[max(before)] if before else "")

    @cached_property
    def _contents(self) -> dict[str, tuple[set[_Place], set[str]]]:
        """Return the initial contents of each map of programs or of maps: functions, and names of maps."""
        contents: dict[str, tuple[set[_Place], set[str]]] = {}
        for section in (each for each in self._elf.sections if each.name == ".maps"):
            for offset, number in relocations(self._elf, section):
                holder = self._name_at(section.index, offset)
                if self._symbols is None or not holder or number >= len(self._symbols):
                    continue
                functions, names = contents.setdefault(holder, (set(), set()))
                target = int(self._symbols.table["section"][number]), int(self._symbols.table["value"][number])
                if target in self._own:
                    functions.add(target)
                else:
                    names.add(self._symbols.name(number))
        return contents
