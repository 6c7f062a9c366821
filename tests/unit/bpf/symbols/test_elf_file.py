"""The functions of one ELF file."""

from __future__ import annotations

import numpy as np

from quarterdeck.bpf.elf import Elf, SegmentType
from quarterdeck.bpf.symbols.elf_file import ElfFile, read_functions
from tests.unit.bpf.binaries import Part, elf, note, symbol

NAMES = b"\0__write\0write\0local\0data\0far\0"
SYMBOLS = b"".join(
    [
        symbol(1, 0x401000, 0x20),
        symbol(9, 0x401000, 0x20, binding=2),
        symbol(15, 0x401020, 0x10, binding=0),
        symbol(21, 0x401030, 0x10, kind=1),
        symbol(26, 0x401040, 0x10, section=0),
        symbol(0xFFFF, 0x401050, 0x10),
    ]
)
CODE = (SegmentType.LOAD, 5, 0x1000, 0x401000, 0x1000, 0x1000, 0x1000)
DATA = (SegmentType.LOAD, 6, 0x2000, 0x402000, 0x1000, 0x1000, 0x1000)


def program(*, table: str = ".symtab", content: bytes = SYMBOLS) -> bytes:
    return elf(
        Part(name=".text"),
        Part(name=table, content=content, type=2 if table == ".symtab" else 11, link=3, entry_size=24),
        Part(name=".strtab", content=NAMES, type=3),
        Part(name=".note.gnu.build-id", content=note(b"GNU", 3, b"\xab\xcd"), type=7),
        segments=(DATA, CODE),
    )


def find(image: bytes, *offsets: int) -> list[str | None]:
    return ElfFile.read(Elf(image)).find(np.array(offsets, dtype=np.uint64))


def test_file_offsets_become_functions_by_their_best_known_name() -> None:
    assert find(program(), 0x1000, 0x101F, 0x1020, 0x1030, 0x1040, 0x1050) == [
        "write",
        "write",
        "local",
        None,
        None,
        None,
    ]
    assert find(program(), 0x0, 0xFFFFFFFFFFFFFFFF) == [None, None]


def test_a_stripped_file_offers_what_others_link_against() -> None:
    file = ElfFile.read(Elf(program(table=".dynsym")))
    assert file.stripped
    assert file.find(np.array([0x1000], dtype=np.uint64)) == ["write"]
    assert not ElfFile.read(Elf(program())).stripped


def test_a_damaged_table_leaves_the_build_id() -> None:
    file = ElfFile.read(Elf(program(content=SYMBOLS + b"x")))
    assert (len(file.functions), file.build_id) == (0, "abcd")
    assert file.find(np.array([0x1000], dtype=np.uint64)) == [None]


def test_a_file_without_code_names_nothing() -> None:
    assert find(elf(), 0, 1) == [None, None]
    assert len(read_functions(Elf(elf()))) == 0
    assert ElfFile.unreadable().find(np.array([1], dtype=np.uint64)) == [None]
