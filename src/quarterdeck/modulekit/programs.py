"""The programs of an object: their names, their sections, and the maps that each may access.

It owns the facts that symbols and instructions show, before libbpf or a kernel reads the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.elf import ElfError
from quarterdeck.bpf.references import ReferenceGraph

_FUNCTION, _GLOBAL = 2, 1
_EXECUTABLE = 4  # SHF_EXECINSTR
#: sections that do not name a place to attach: their programs need a [[probe]]
_TARGETLESS = frozenset(
    {"kprobe", "kretprobe", "uprobe", "uretprobe", "usdt", "tracepoint", "tp", "raw_tp"}
    | {"raw_tracepoint", "tp_btf", "fentry", "fexit", "fmod_ret", "lsm", "kprobe.multi", "uprobe.multi", "ksyscall"}
    | {"kretprobe.multi", "uretprobe.multi", "kretsyscall", "tc", "classifier", "action", "xdp", "netfilter"}
)
#: sections that must name a file as well: `uprobe/libc.so.6:malloc`
_OF_FILES = frozenset({"uprobe", "uretprobe", "usdt", "uprobe.multi", "uretprobe.multi"})

#: sections whose kind of probe has another name
_PROBE_KINDS = {
    **dict.fromkeys(("tcx", "classifier", "action"), "tc"),
    "tp": "tracepoint",
    "raw_tracepoint": "raw_tp",
    "ksyscall": "kprobe",
    "kretsyscall": "kretprobe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDeclaration:
    """A function that the kernel can run. `refers` names the maps, variables and data sections that it may access."""

    name: str
    section: str
    refers: frozenset[str]
    deletes: frozenset[str] = frozenset()  #: maps from which it deletes entries; "" is a map that cannot be determined
    helpers: frozenset[int] = frozenset()  #: numbers of the helpers that it calls

    @property
    def kind(self) -> str:
        """Return the first word of its section: `iter`, `tp_btf` …"""
        return self.section.removeprefix("?").partition("/")[0].removesuffix(".s")

    @property
    def needs_probe(self) -> bool:
        """Return whether its section has a kind but no place: `uprobe` alone, or `uprobe/readline` without a file."""
        kind, _, place = self.section.removeprefix("?").partition("/")
        kind = kind.removesuffix(".s").removesuffix(".frags")
        return (not place and kind in _TARGETLESS) or (kind in _OF_FILES and ":" not in place) or kind == "tcx"

    @property
    def probe_kind(self) -> str:
        """Return the `kind` of a [[probe]] that would attach it."""
        kind = self.section.removeprefix("?").partition("/")[0].removesuffix(".s").removesuffix(".multi")
        return _PROBE_KINDS.get(kind, kind)


def programs_of(opened: ObjectFile) -> tuple[ProgramDeclaration, ...]:
    """Return the programs of the object, in its order. Raise `ElfError` when its tables are damaged."""
    elf = opened.elf
    symbols = elf.symbols()
    if symbols is None:
        raise ElfError("expected a symbol table in the object, found none: was it stripped with -s instead of -g?")
    found: list[ProgramDeclaration] = []
    graph = ReferenceGraph(elf)
    for section in elf.sections:
        if not section.flags & _EXECUTABLE or section.name == ".text" or not section.size:
            continue
        functions = np.flatnonzero(
            (symbols.table["section"] == section.index) & (symbols.kinds == _FUNCTION) & (symbols.bindings >= _GLOBAL)
        )
        for index in functions.tolist():
            reach = graph.reach(section.index, int(symbols.table["value"][index]))
            found.append(
                ProgramDeclaration(
                    name=symbols.name(index),
                    section=section.name,
                    refers=frozenset(reach.names),
                    deletes=frozenset(reach.deletes),
                    helpers=frozenset(reach.helpers),
                )
            )
    return tuple(found)
