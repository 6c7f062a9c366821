"""The choice of the files with symbols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quarterdeck.bpf.symbols.files import SymbolFiles
from quarterdeck.bpf.symbols.process import Mapping
from tests.unit.bpf.binaries import Part, elf, note, symbol
from tests.unit.bpf.symbols.test_elf_file import CODE

TABLES = (
    Part(name=".symtab", content=symbol(0, 0x401000, 0x20), type=2, link=2, entry_size=24),
    Part(name=".strtab", content=b"work\0", type=3),
)
BUILD_ID = Part(name=".note.gnu.build-id", content=note(b"GNU", 3, b"\xab\xcd"), type=7)


@pytest.mark.parametrize(
    ("debug", "name"),
    [(elf(*TABLES), "work"), (elf(), None), (b"no ELF", None), (None, None)],
)
def test_a_stripped_file_is_named_by_its_debug_file(tmp_path: Path, debug: bytes | None, name: str | None) -> None:
    stripped = tmp_path / "tool"
    stripped.write_bytes(elf(BUILD_ID, segments=(CODE,)))
    if debug is not None:
        (tmp_path / "debug/ab").mkdir(parents=True)
        (tmp_path / "debug/ab/cd.debug").write_bytes(debug)
    files = SymbolFiles(tmp_path / "proc", debug_files=tmp_path / "debug")
    mapping = Mapping(0x400000, 0x401000, 0x1000, "00:30", stripped.stat().st_ino, str(stripped))
    file = files.mapped(1, mapping)
    assert file.build_id == "abcd"
    assert file.find(np.array([0x1000], dtype=np.uint64)) == [name]
    assert files.mapped(1, mapping) is file


def test_the_vdso_is_read_from_our_own_memory(tmp_path: Path) -> None:
    vdso = SymbolFiles(tmp_path).mapped(1, Mapping(0x1000, 0x3000, 0, "00:00", 0, "[vdso]"))
    assert len(vdso.functions) > 0
