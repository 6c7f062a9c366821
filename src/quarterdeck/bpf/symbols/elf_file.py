"""The functions of one ELF file, and how its bytes become addresses.

Owns the choice of symbols: the full table, or what stripping leaves (.dynsym). Knows no process and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.elf import Elf, ElfError, SectionType, SegmentType, Symbols
from quarterdeck.bpf.symbols.functions import Functions

_FUNCTION_KINDS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_GLOBAL, _WEAK = 1, 2
_EXECUTABLE = 1  # PF_X
_PAGE_MASK = ~0xFFF & 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class ElfFile:
    """What stays in memory of an ELF file: its functions, its executable segments and its build id."""

    functions: Functions
    #: Executable segments by file offset: where each begins in the file, and what to add to get an address.
    offsets: NDArray[np.uint64]
    biases: NDArray[np.uint64]
    build_id: str | None
    #: Without its full symbol table, so that the functions are only those it offers to other files.
    stripped: bool

    @classmethod
    def read(cls, elf: Elf) -> Self:
        """What is needed of `elf`; a file that is damaged or of another kind still gives what can be read of it."""
        try:
            segments = [s for s in elf.segments if s.type == SegmentType.LOAD and s.flags & _EXECUTABLE]
        except ElfError:
            segments = []
        segments.sort(key=lambda segment: segment.offset)
        functions = read_functions(elf)
        return cls(
            functions=functions or read_functions(elf, SectionType.DYNSYM),
            offsets=np.array([s.offset & _PAGE_MASK for s in segments], dtype=np.uint64),
            biases=np.array([s.address - s.offset & 0xFFFFFFFFFFFFFFFF for s in segments], dtype=np.uint64),
            build_id=_build_id(elf),
            stripped=not functions,
        )

    @classmethod
    def unreadable(cls) -> Self:
        """A file of which nothing is known."""
        nothing = np.zeros(0, dtype=np.uint64)
        return cls(Functions.none(), nothing, nothing, None, stripped=True)

    def find(self, file_offsets: NDArray[np.uint64]) -> list[str | None]:
        """The function's name for each offset in the file, None where there is none."""
        segments = np.searchsorted(self.offsets, file_offsets, side="right") - 1
        if len(self.offsets) == 0:
            return [None] * len(file_offsets)
        return self.functions.find(file_offsets + self.biases[np.maximum(segments, 0)])


def read_functions(elf: Elf, kind: SectionType = SectionType.SYMTAB) -> Functions:
    """The functions in one of the symbol tables of `elf`; none where it has none that can be read."""
    try:
        symbols = elf.symbols(kind)
    except ElfError:
        return Functions.none()
    return Functions.none() if symbols is None else _functions(symbols)


def _functions(symbols: Symbols) -> Functions:
    defined = np.isin(symbols.kinds, _FUNCTION_KINDS) & (symbols.table["section"] != 0) & (symbols.table["value"] != 0)
    defined &= symbols.table["name"] < len(symbols.strings)
    table, bindings = symbols.table[defined], symbols.bindings[defined]
    # Of aliases, the name that people know: `write` before `__write`, exported before local.
    private = symbols.strings.first_bytes(table["name"]) == ord("_")
    rank = np.where(bindings == _GLOBAL, 0, np.where(bindings == _WEAK, 1, 2)) + np.where(private, 3, 0)
    order = np.argsort(rank, kind="stable")
    table = table[order]
    return Functions.of(table["value"].copy(), table["size"].copy(), table["name"].copy(), symbols.strings)


def _build_id(elf: Elf) -> str | None:
    try:
        return elf.build_id()
    except ElfError:
        return None
