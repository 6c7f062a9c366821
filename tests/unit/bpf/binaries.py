"""Small ELF and BTF files built by hand, so that a test can control every byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Part:
    """One section of a hand-made ELF file."""

    name: str
    content: bytes = b""
    type: int = 1
    flags: int = 0
    address: int = 0
    link: int = 0
    entry_size: int = 0
    size: int | None = None


def elf(*parts: Part, machine: int = 247, kind: int = 1, segments: tuple[tuple[int, ...], ...] = ()) -> bytes:
    """Return a little-endian ELF64 file: the null section, `parts`, and the section names last.

    `segments` are (type, flags, offset, address, file size, memory size, align).
    """
    names = b"\0"
    body = bytearray()
    start = 64 + 56 * len(segments)
    headers = [bytes(64)]
    for part in (*parts, Part(name=".shstrtab", type=3)):
        name_at = len(names)
        names += part.name.encode() + b"\0"
        content = names if part.name == ".shstrtab" else part.content
        size = len(content) if part.size is None else part.size
        numbers = (name_at, part.type, part.flags, part.address, start + len(body), size, part.link, 0, 1)
        headers.append(struct.pack("<IIQQQQIIQQ", *numbers, part.entry_size))
        body += content
    section_table = start + len(body)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    counts = (64, 56, len(segments), 64, len(headers), len(headers) - 1)
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, kind, machine, 1, 0, 64, section_table, 0, *counts)
    programs = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, file_size, memory_size, align)
        for kind, flags, offset, address, file_size, memory_size, align in segments
    )
    return header + programs + bytes(body) + b"".join(headers)


def symbol(name_at: int, value: int, size: int, *, kind: int = 2, binding: int = 1, section: int = 1) -> bytes:
    """Return one symbol table entry; kind 2 is a function, binding 1 global."""
    return struct.pack("<IBBHQQ", name_at, binding << 4 | kind, 0, section, value, size)


def note(owner: bytes, kind: int, description: bytes) -> bytes:
    """Return one note, padded to four bytes."""
    named = owner + b"\0"
    head = struct.pack("<III", len(named), len(description), kind)
    return head + named.ljust(-(-len(named) // 4) * 4, b"\0") + description.ljust(-(-len(description) // 4) * 4, b"\0")


class BtfBuilder:
    """A collector of types and strings. Each `add` returns the id of the new type."""

    def __init__(self) -> None:
        self._types = bytearray()
        self._strings = bytearray(b"\0")
        self._count = 0

    def name(self, text: str) -> int:
        """Return the offset of a new string."""
        if not text:
            return 0
        at = len(self._strings)
        self._strings += text.encode() + b"\0"
        return at

    def add(
        self,
        kind: int,
        name: str = "",
        *,
        size: int = 0,
        vlen: int = 0,
        flag: bool = False,
        words: tuple[int, ...] = (),
    ) -> int:
        """Add a type record: `size` is the size or type id, `words` the part after the common fields."""
        info = flag << 31 | kind << 24 | vlen
        self._types += struct.pack(f"<{3 + len(words)}I", self.name(name), info, size, *words)
        self._count += 1
        return self._count

    def integer(self, name: str, size: int, *, signed: bool = False, boolean: bool = False) -> int:
        """Add an INT of `size` bytes."""
        return self.add(1, name, size=size, words=((signed | boolean << 2) << 24 | size * 8,))

    def struct(self, name: str, size: int, *members: tuple[str, int, int], kind: int = 4, flag: bool = False) -> int:
        """Add a STRUCT of (name, type id, offset word)."""
        words = tuple(word for label, type_id, offset in members for word in (self.name(label), type_id, offset))
        return self.add(kind, name, size=size, vlen=len(members), flag=flag, words=words)

    def build(self) -> bytes:
        """Return the whole .BTF section."""
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self._types), len(self._types), len(self._strings))
        return header + bytes(self._types) + bytes(self._strings)
