"""String tables."""

from __future__ import annotations

import numpy as np

from quarterdeck.bpf.strings import MAX_NAME_BYTES, StringTable


def test_names_are_read_at_offsets_and_found_by_name() -> None:
    table = StringTable(b"\0main\0domain\0")
    assert [table.get(offset) for offset in (0, 1, 3, 6, 8)] == ["", "main", "in", "domain", "main"]
    assert table.offsets("main").tolist() == [1, 8]
    assert table.offsets("nothing").tolist() == []
    assert table.offsets("").tolist() == []
    assert table.first_bytes(np.array([1, 6], dtype=np.uint32)).tobytes() == b"md"


def test_a_name_without_an_end_is_cut() -> None:
    table = StringTable(b"x" * (MAX_NAME_BYTES + 10))
    assert len(table.get(0)) == MAX_NAME_BYTES
    assert table.get(MAX_NAME_BYTES) == "x" * 10
    assert table.get(1 << 32) == ""


def test_bytes_that_are_no_text_stay_visible() -> None:
    assert StringTable(b"a\xffb\0").get(0) == r"a\xffb"


def test_packed_strings_read_as_the_table_does() -> None:
    names = [f"name_{number}_{'x' * (number % 97)}" for number in range(20_000)] + ["long" * 3000]
    whole = StringTable("".join(f"{name}\0" for name in names).encode() + b"unended")
    packed = whole.packed()
    at = 0
    for name in names:
        assert packed.get(at) == whole.get(at) == name[:MAX_NAME_BYTES]
        at += len(name) + 1
    assert packed.get(at) == "unended"
    assert packed.get(0) == "name_0_"
    assert packed.nbytes < len(whole) / 4
