"""The programs of an object: their names, their sections, and which maps each of them may touch.

Owns what can be known from symbols and relocations alone, before any libbpf or kernel has seen the object.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.elf import Elf, ElfError

_FUNCTION, _GLOBAL = 2, 1
_EXECUTABLE = 4  # SHF_EXECINSTR
_RELOCATIONS = 9  # SHT_REL
_RELOCATION = struct.Struct("<QQ")
#: Sections whose programs hang where the section's name says nothing of: they need a [[probe]].
_TARGETLESS = frozenset(
    {"kprobe", "kretprobe", "uprobe", "uretprobe", "usdt", "tracepoint", "tp", "raw_tp"}
    | {"raw_tracepoint", "tp_btf", "fentry", "fexit", "fmod_ret", "lsm", "kprobe.multi", "uprobe.multi", "ksyscall"}
    | {"kretprobe.multi", "uretprobe.multi", "kretsyscall", "tc", "classifier", "action", "xdp", "netfilter"}
)
#: Sections that must name a file as well: `uprobe/libc.so.6:malloc`.
_OF_FILES = frozenset({"uprobe", "uretprobe", "usdt", "uprobe.multi", "uretprobe.multi"})

#: Sections whose kind of probe has another name.
_PROBE_KINDS = {
    **dict.fromkeys(("tcx", "classifier", "action"), "tc"),
    "tp": "tracepoint",
    "raw_tracepoint": "raw_tp",
    "ksyscall": "kprobe",
    "kretsyscall": "kretprobe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDeclaration:
    """A function that the kernel can run. `refers` has the names of maps and of data sections it may touch."""

    name: str
    section: str
    refers: frozenset[str]

    @property
    def needs_probe(self) -> bool:
        """Whether its section says a kind but no place: `uprobe` alone, or `uprobe/readline` without a file."""
        kind, _, place = self.section.removeprefix("?").partition("/")
        kind = kind.removesuffix(".s").removesuffix(".frags")
        return (not place and kind in _TARGETLESS) or (kind in _OF_FILES and ":" not in place) or kind == "tcx"

    @property
    def probe_kind(self) -> str:
        """The `kind` of a [[probe]] that would attach it."""
        kind = self.section.removeprefix("?").partition("/")[0].removesuffix(".s").removesuffix(".multi")
        return _PROBE_KINDS.get(kind, kind)


def programs_of(opened: ObjectFile) -> tuple[ProgramDeclaration, ...]:
    """The programs of the object in its order; ElfError where its tables are damaged."""
    elf = opened.elf
    symbols = elf.symbols()
    if symbols is None:
        raise ElfError("expected a symbol table in the object, found none: was it stripped with -s instead of -g?")
    found: list[ProgramDeclaration] = []
    shared = frozenset(_refers(elf, ".text"))  # subprograms: whoever calls one may touch all of theirs
    for section in elf.sections:
        if not section.flags & _EXECUTABLE or section.name == ".text" or not section.size:
            continue
        functions = np.flatnonzero(
            (symbols.table["section"] == section.index) & (symbols.kinds == _FUNCTION) & (symbols.bindings >= _GLOBAL)
        )
        for index in functions.tolist():
            start, size = int(symbols.table["value"][index]), int(symbols.table["size"][index])
            refers = frozenset(_refers(elf, section.name, start, start + size)) | shared
            found.append(ProgramDeclaration(name=symbols.name(index), section=section.name, refers=refers))
    return tuple(found)


def _refers(elf: Elf, section: str, start: int = 0, end: int = 1 << 62) -> Iterator[str]:
    """The maps and data sections that relocations between two offsets of a section point at."""
    symbols = elf.symbols()
    target = elf.section(section)
    if symbols is None or target is None:
        return
    for relocations in elf.sections:
        if relocations.type == _RELOCATIONS and relocations.name == f".rel{target.name}":
            content = elf.content(relocations)
            for offset, info in _RELOCATION.iter_unpack(content[: len(content) // 16 * 16]):
                number = info >> 32
                if start <= offset < end and number < len(symbols):
                    at = int(symbols.table["section"][number])
                    where = elf.sections[at].name if at < len(elf.sections) else ""
                    yield symbols.name(number) if where == ".maps" else where
