"""The functions of one ELF file, and the translation of file offsets to addresses.

It owns the choice of symbols: the full table, or the one that stripping keeps (.dynsym). It opens no file and does not
depend on processes.
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
    """The parts of an ELF file that stay in memory: its functions, its executable segments and its build id."""

    functions: Functions
    #: executable segments by file offset: the start of each in the file, and the difference to its address
    offsets: NDArray[np.uint64]
    biases: NDArray[np.uint64]
    build_id: str | None
    #: without its full symbol table, so that it has only the functions that it exports
    stripped: bool

    @classmethod
    def read(cls, elf: Elf) -> Self:
        """Return the needed parts of `elf`. A damaged file or one of another kind gives what can be read of it."""
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
        """Return a file without known content."""
        nothing = np.zeros(0, dtype=np.uint64)
        return cls(Functions.none(), nothing, nothing, None, stripped=True)

    def find(self, file_offsets: NDArray[np.uint64]) -> list[str | None]:
        """Return the function's name for each offset in the file, None if there is none."""
        segments = np.searchsorted(self.offsets, file_offsets, side="right") - 1
        if len(self.offsets) == 0:
            return [None] * len(file_offsets)
        return self.functions.find(file_offsets + self.biases[np.maximum(segments, 0)])


def read_functions(elf: Elf, kind: SectionType = SectionType.SYMTAB) -> Functions:
    """Return the functions in one of the symbol tables of `elf`; none if it has no readable one."""
    try:
        symbols = elf.symbols(kind)
    except ElfError:
        return Functions.none()
    return Functions.none() if symbols is None else _functions(symbols)


def _functions(symbols: Symbols) -> Functions:
    defined = np.isin(symbols.kinds, _FUNCTION_KINDS) & (symbols.table["section"] != 0) & (symbols.table["value"] != 0)
    defined &= symbols.table["name"] < len(symbols.strings)
    table, bindings = symbols.table[defined], symbols.bindings[defined]
    # Of aliases, choose the best known name: `write` before `__write`, exported before local.
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
