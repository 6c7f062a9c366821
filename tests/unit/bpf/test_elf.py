"""Reading ELF files: existing parts are found, and damaged parts are reported."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from quarterdeck.bpf.elf import Elf, ElfError, SectionType, SegmentType
from quarterdeck.bpf.errors import BpfError
from tests.compiled import compile_bpf
from tests.unit.bpf.binaries import Part, elf, note, symbol

NAMES = b"\0main\0domain\0"


def with_symbols(*symbols: bytes, **changes: int) -> bytes:
    numbers = {"link": 3, "entry_size": 24, **changes}
    return elf(
        Part(name=".text", content=bytes(64)),
        Part(name=".symtab", content=b"".join(symbols), type=2, **numbers),
        Part(name=".strtab", content=NAMES, type=3),
    )


def test_sections_have_names_and_content() -> None:
    file = Elf(elf(Part(name=".rodata", content=b"hello"), Part(name=".bss", type=8, size=1 << 40)))
    assert [section.name for section in file.sections] == ["", ".rodata", ".bss", ".shstrtab"]
    rodata, bss = file.section(".rodata"), file.section(".bss")
    assert rodata is not None
    assert file.content(rodata) == b"hello"
    assert bss is not None
    assert (bss.size, file.content(bss)) == (1 << 40, b"")
    assert file.section(".nothing") is None
    assert (file.machine, file.type) == (247, 1)


def test_symbols_are_columns_found_by_their_whole_name() -> None:
    symbols = Elf(
        with_symbols(symbol(0, 0, 0), symbol(1, 16, 8), symbol(6, 32, 4, binding=0), symbol(8, 40, 4))
    ).symbols()
    assert symbols is not None
    assert [symbols.name(index) for index in range(len(symbols))] == ["", "main", "domain", "main"]
    assert symbols.find("main").tolist() == [1, 3]
    assert symbols.find("mai").tolist() == []
    assert symbols.kinds.tolist() == [2, 2, 2, 2]
    assert symbols.bindings.tolist() == [1, 1, 0, 1]
    assert symbols.table["value"].tolist() == [0, 16, 32, 40]


def test_a_file_without_symbols_says_so() -> None:
    assert Elf(elf()).symbols() is None
    assert Elf(elf()).symbols(SectionType.DYNSYM) is None


def test_the_build_id_is_found_by_section_and_by_segment() -> None:
    notes = note(b"Linux", 1, b"x") + note(b"GNU", 3, bytes.fromhex("00ff1234"))
    assert Elf(elf(Part(name=".note", content=notes, type=7))).build_id() == "00ff1234"
    where = (SegmentType.NOTE, 4, 64 + 56, 0, len(notes), len(notes), 4)
    assert Elf(elf(Part(name=".data", content=notes), segments=(where,))).build_id() == "00ff1234"
    assert Elf(elf()).build_id() is None


def test_segments_say_where_file_bytes_appear() -> None:
    segment = (SegmentType.LOAD, 5, 0x1000, 0x401000, 0x20, 0x30, 0x1000)
    (found,) = Elf(elf(segments=(segment,))).segments
    assert (found.type, found.flags, found.offset, found.address) == (SegmentType.LOAD, 5, 0x1000, 0x401000)
    assert (found.file_size, found.memory_size, found.align) == (0x20, 0x30, 0x1000)


def test_a_file_is_read_through_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(with_symbols(symbol(1, 16, 8)))
    with path.open("rb") as opened:
        symbols = Elf.from_fd(opened.fileno()).symbols()
    assert symbols is not None
    assert symbols.name(0) == "main"


def test_an_object_of_the_compiler_is_read() -> None:
    file = Elf(compile_bpf('SEC("socket") int answer(void *context) { return 42; }'))
    symbols = file.symbols()
    assert symbols is not None
    (index,) = symbols.find("answer")
    assert file.sections[symbols.table["section"][index]].name == "socket"


def test_more_sections_than_the_header_can_count() -> None:
    data = bytearray(elf(Part(name=".text")))
    (table,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<HH", data, 60, 0, 0xFFFF)  # e_shnum, e_shstrndx
    struct.pack_into("<Q", data, table + 32, 3)  # section 0: sh_size
    struct.pack_into("<I", data, table + 40, 2)  # section 0: sh_link
    assert [section.name for section in Elf(bytes(data)).sections] == ["", ".text", ".shstrtab"]


def patched(offset: int, content: bytes) -> bytes:
    data = bytearray(with_symbols(symbol(1, 0, 0)))
    data[offset : offset + len(content)] = content
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected an ELF file, which starts with 7f454c46, found nothing"),
        (b"MZ\x90\0", "found 4d5a9000"),
        (elf()[:40], "expected an ELF header of 64 bytes, found 40"),
        (patched(4, b"\x01"), "expected 64-bit ELF, found 32-bit"),
        (patched(5, b"\x02"), "expected little-endian ELF, found big-endian"),
        (patched(5, b"\x07"), "expected little-endian ELF, found encoding 7"),
        (patched(58, b"\x10\x00"), "expected section headers of 64 bytes, found 16"),
        (patched(60, b"\xff\xff"), "expected the section headers at bytes"),
        (patched(40, b"\xff" * 8), "expected the section headers at bytes"),
        (elf()[:-1], "it is cut short or damaged"),
        (with_symbols(symbol(1, 0, 0), entry_size=16), "expected symbols of 24 bytes each in '.symtab'"),
        (
            with_symbols(symbol(1, 0, 0), link=77),
            "expected '.symtab' to name its string section, found section 77 of 5",
        ),
        (with_symbols(symbol(1, 0, 0), size=24 << 30), "expected at most 2097152 symbols"),
        (with_symbols(symbol(1, 0, 0), size=24 << 10), "expected section '.symtab' at bytes"),
    ],
)
def test_what_is_damaged_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ElfError) as raised:
        Elf(data).symbols()
    assert words in str(raised.value)
    assert isinstance(raised.value, BpfError)


@pytest.mark.parametrize("sizes", [(4, 1 << 31), (1 << 31, 4), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_note_that_does_not_end_is_named(sizes: tuple[int, int]) -> None:
    content = struct.pack("<III", *sizes, 3) + b"GNU\0"
    with pytest.raises(ElfError, match="expected a note to end by byte"):
        Elf(elf(Part(name=".note", content=content, type=7))).build_id()


def test_a_section_name_outside_its_table_is_empty_rather_than_wrong() -> None:
    data = bytearray(elf(Part(name=".text")))
    (table,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<I", data, table + 64, 1 << 30)
    assert Elf(bytes(data)).sections[1].name == ""
