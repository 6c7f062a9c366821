"""ELF files: eBPF objects, and the programs whose addresses are translated into names.

It owns the headers, sections, segments, symbol tables and notes of 64-bit little-endian ELF (System V gABI). They are
read by byte ranges from memory or from an open file, so that a large binary is never held as a whole. Files are read,
not mapped: a file that another process truncates then causes an error and not a SIGBUS. No number in the file is
trusted: truncated, overlapping or impossible parts are an `ElfError`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.errors import BpfError
from quarterdeck.bpf.strings import StringTable

#: most bytes read of one table or section: a hostile file must not fill the memory, and a large browser must be
#: readable
MAX_READ_BYTES = 128 << 20
MAX_SECTIONS = 1 << 16
MAX_SYMBOLS = 2 << 20

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)

_BUILD_ID_NOTE = 3
_INDEX_ESCAPE = 0xFFFF  # stands for a number that does not fit in 16 bits and is in section 0


class ElfError(BpfError):
    """The bytes are not an ELF file that can be read here."""


class SectionType(IntEnum):
    """The values of `sh_type` that are used."""

    SYMTAB = 2
    NOTE = 7
    NOBITS = 8
    DYNSYM = 11


class SegmentType(IntEnum):
    """The values of `p_type` that are used."""

    LOAD = 1
    NOTE = 4


@dataclass(frozen=True, slots=True)
class Section:
    """One section header; `offset` and `size` are bytes in the file."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header: `file_size` bytes at `offset` of the file appear at `address`."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    align: int


@dataclass(frozen=True, slots=True)
class Note:
    """One note: its owner, its type number, and its content."""

    owner: str
    type: int
    description: bytes


class Symbols:
    """A symbol table as columns: `table` has name, info, other, section, value and size of each symbol."""

    def __init__(self, table: NDArray[np.void], strings: StringTable) -> None:
        self.table = table
        self.strings = strings

    def __len__(self) -> int:
        return len(self.table)

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """Return each symbol's STT_* type: 1 object, 2 function, 10 indirect function."""
        info: NDArray[np.uint8] = self.table["info"]
        return info & np.uint8(0xF)

    @property
    def bindings(self) -> NDArray[np.uint8]:
        """Return each symbol's STB_* binding: 0 local, 1 global, 2 weak."""
        info: NDArray[np.uint8] = self.table["info"]
        return info >> np.uint8(4)

    def name(self, index: int) -> str:
        """Return the name of symbol `index`; empty if it has none or one outside the string table."""
        return self.strings.get(int(self.table["name"][index]))

    def find(self, name: str) -> NDArray[np.intp]:
        """Return the indexes of all symbols called `name`."""
        return np.flatnonzero(np.isin(self.table["name"], self.strings.offsets(name)))


class Elf:
    """One ELF file. `Elf(data)` reads from memory, `Elf.from_fd(fd)` from a file that must stay open."""

    def __init__(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        self._open(lambda offset, size: bytes(view[offset : offset + size]), len(view))

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Return the ELF file open at `fd`. It is read with pread, which does not use the file position."""
        elf = cls.__new__(cls)
        elf._open(lambda offset, size: os.pread(fd, size, offset), os.fstat(fd).st_size)
        return elf

    def _open(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._pread = read
        self._file_size = size
        header = _HEADER.unpack(self._header())
        #: e_type: 1 relocatable (eBPF objects), 2 executable, 3 shared or position-independent.
        self.type: int = header[1]
        #: e_machine: 247 is eBPF.
        self.machine: int = header[2]
        self._segments_at, self._sections_at = header[5:7]
        segment_size, self._segment_count, section_size, self._section_count, self._names_index = header[9:14]
        if self._sections_at and section_size != _SECTION.size:
            raise ElfError(f"expected section headers of {_SECTION.size} bytes, found {section_size}")
        if self._segment_count and segment_size != _SEGMENT.size:
            raise ElfError(f"expected program headers of {_SEGMENT.size} bytes, found {segment_size}")

    def _header(self) -> bytes:
        start = self._pread(0, _HEADER.size)
        if start[:4] != b"\x7fELF":
            raise ElfError(f"expected an ELF file, which starts with 7f454c46, found {start[:4].hex() or 'nothing'}")
        if len(start) < _HEADER.size:
            raise ElfError(f"expected an ELF header of {_HEADER.size} bytes, found {len(start)}: the file is cut short")
        if start[4] != 2:
            raise ElfError(f"expected 64-bit ELF, found {'32-bit' if start[4] == 1 else f'class {start[4]}'}")
        if start[5] != 1:
            found = "big-endian" if start[5] == 2 else f"encoding {start[5]}"
            raise ElfError(f"expected little-endian ELF, found {found}")
        return start

    def _read(self, offset: int, size: int, *, what: str) -> bytes:
        if size > MAX_READ_BYTES:
            raise ElfError(f"expected {what} of at most {MAX_READ_BYTES} bytes, found {size}")
        content = self._pread(offset, size) if offset + size <= self._file_size else b""
        if len(content) != size:
            found = f"a file of {self._file_size}: it is cut short or damaged"
            raise ElfError(f"expected {what} at bytes {offset} to {offset + size}, found {found}")
        return content

    def _section_zero(self) -> tuple[int, int, int]:
        """Return the counts too large for the ELF header: of sections, of the section with their names, of segments."""
        header = _SECTION.unpack(self._read(self._sections_at, _SECTION.size, what="the first section header"))
        return header[5], header[6], header[7]

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Return all sections in file order. Section 0 is the null section."""
        if not self._sections_at:
            return ()
        count, names_index = self._section_count, self._names_index
        if count == 0:
            count = self._section_zero()[0]
        if names_index == _INDEX_ESCAPE:
            names_index = self._section_zero()[1]
        if count > MAX_SECTIONS:
            raise ElfError(f"expected at most {MAX_SECTIONS} sections, found {count}")
        headers = self._read(self._sections_at, count * _SECTION.size, what="the section headers")
        names = StringTable(b"")
        if 0 < names_index < count:
            at, size = _SECTION.unpack_from(headers, names_index * _SECTION.size)[4:6]
            names = StringTable(self._read(at, size, what="the section names"))
        return tuple(
            Section(index, names.get(name), kind, flags, address, at, size, link, entry_size)
            for index, (name, kind, flags, address, at, size, link, _, _, entry_size) in enumerate(
                _SECTION.iter_unpack(headers)
            )
        )

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Return all program headers in file order. Relocatable files have none."""
        count = self._segment_count
        if count == _INDEX_ESCAPE and self._sections_at:
            count = self._section_zero()[2]
        headers = _SEGMENT.iter_unpack(self._read(self._segments_at, count * _SEGMENT.size, what="the program headers"))
        return tuple(
            Segment(kind, flags, at, address, file_size, memory_size, align)
            for kind, flags, at, address, _, file_size, memory_size, align in headers
        )

    def section(self, name: str) -> Section | None:
        """Return the first section called `name`."""
        return next((section for section in self.sections if section.name == name), None)

    def content(self, section: Section) -> bytes:
        """Return the bytes of `section`; none for a section without bytes in the file (.bss)."""
        if section.type == SectionType.NOBITS:
            return b""
        return self._read(section.offset, section.size, what=f"section {section.name!r}")

    def symbols(self, kind: SectionType = SectionType.SYMTAB) -> Symbols | None:
        """Return the full symbol table, or with `SectionType.DYNSYM` the one that stripping keeps; None without one."""
        section = next((section for section in self.sections if section.type == kind), None)
        if section is None:
            return None
        if section.entry_size != _SYMBOL.itemsize or section.size % _SYMBOL.itemsize:
            found = f"{section.size} bytes in entries of {section.entry_size}"
            raise ElfError(f"expected symbols of {_SYMBOL.itemsize} bytes each in {section.name!r}, found {found}")
        if section.size > MAX_SYMBOLS * _SYMBOL.itemsize:
            raise ElfError(f"expected at most {MAX_SYMBOLS} symbols in {section.name!r}, found {section.size} bytes")
        if section.link >= len(self.sections):
            found = f"{section.link} of {len(self.sections)}"
            raise ElfError(f"expected {section.name!r} to name its string section, found section {found}")
        strings = StringTable(self.content(self.sections[section.link]))
        return Symbols(np.frombuffer(self.content(section), dtype=_SYMBOL), strings)

    def notes(self) -> Iterator[Note]:
        """Yield every note of the file, from its segments, or from its sections if it has no segments."""
        places = [(s.offset, s.file_size, s.align) for s in self.segments if s.type == SegmentType.NOTE]
        if not places:
            places = [(s.offset, s.size, 4) for s in self.sections if s.type == SectionType.NOTE]
        for offset, size, align in places:
            yield from _notes(self._read(offset, size, what="the notes"), 8 if align == 8 else 4)

    def build_id(self) -> str | None:
        """Return the GNU build id in hex, which identifies the build wherever the file is; None if it has none."""
        for note in self.notes():
            if note.type == _BUILD_ID_NOTE and note.owner == "GNU":
                return note.description.hex()
        return None


def _notes(content: bytes, align: int) -> Iterator[Note]:
    at = 0
    while at + _NOTE.size <= len(content):
        owner_size, description_size, kind = _NOTE.unpack_from(content, at)
        owner_end = at + _NOTE.size + owner_size
        start = -(-owner_end // align) * align
        end = start + description_size
        if end > len(content):
            raise ElfError(f"expected a note to end by byte {len(content)} of the notes, found its end at {end}")
        owner = content[at + _NOTE.size : owner_end].rstrip(b"\0").decode("ascii", "backslashreplace")
        yield Note(owner, kind, content[start:end])
        at = -(-end // align) * align
