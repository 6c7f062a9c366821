from __future__ import annotations

import pytest

from quarterdeck.wasm.description import Input, Layout, OutputColumn, Setting, parse_description
from quarterdeck.wasm.errors import InvalidGuest

GOOD = "abi 1\nrecord 000064 struct event\ncolumn uint64 time\0\0column list<int8> steps\nsetting uint32 least 4 * 2\n"


def test_a_description_is_read() -> None:
    description = parse_description(GOOD.encode())
    assert description.input == Input(
        kind="record",
        sizes=(64,),
        type_name="struct event",
        layouts=(Layout.RECORDS, Layout.RING, Layout.PERF),
    )
    assert description.columns == (
        OutputColumn(name="time", type="uint64"),
        OutputColumn(name="steps", type="list<int8>"),
    )
    assert [column.varying for column in description.columns] == [False, True]
    assert description.settings == (Setting(name="least", type="uint32", default="4 * 2"),)


def test_other_inputs() -> None:
    entry = parse_description(b"abi 1\nentry 8 24 struct key, u64\ncolumn bool on").input
    assert (entry.sizes, entry.type_name, entry.layouts) == ((8, 24), "struct key, u64", (Layout.ENTRIES,))
    payload = parse_description(b"abi 1\npayload\nlayout perf\ncolumn bool on").input
    assert (payload.sizes, payload.layouts) == ((), (Layout.PERF,))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("abi 1", "abi 2", "ABI 2, this host speaks ABI 1"),
        ("abi 1\n", "", "ABI no version"),
        ("abi 1", "abi 1\nabi 1", "ABI 1 and 1"),
        ("record 000064 struct event\n", "", "0 lines that say which input"),
        ("abi 1", "abi 1\npayload", "2 lines that say which input"),
        ("000064", "", "record takes 1 sizes"),
        ("000064", "0", "record takes 1 sizes"),
        ("000064", "-64", "record takes 1 sizes"),
        ("000064", "6٤", "record takes 1 sizes"),
        ("record 000064", "entry 64", "entry takes 2 sizes"),
        ("abi 1", "abi 1\nlayout entries", "layout 'entries'; those of record are records, ring, perf"),
        ("column uint64 time", "column uint65 time", "'column uint65 time', expected: column TYPE NAME"),
        ("column uint64 time", "column uint64", "expected: column TYPE NAME"),
        ("column uint64 time", "column uint64 time ", "expected: column TYPE NAME"),
        ("column uint64 time", "column uint64 steps", "more than one column named steps"),
        ("column uint64 time", "column uint64 ti-me", "'ti-me' is not a name for a column"),
        ("column uint64 time\0\0column list<int8> steps\n", "", "0 columns, expected 1 to 1024"),
        ("setting uint32", "setting string", "expected: setting TYPE NAME DEFAULT"),
        ("abi 1", "abi 1\nhello", "the line 'hello'; a line starts with abi, record"),
    ],
)
def test_a_wrong_line_is_named(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidGuest, match=words):
        parse_description(GOOD.replace(old, new, 1).encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidGuest, match="not UTF-8"):
        parse_description(b"abi 1\n\xff")
    with pytest.raises(InvalidGuest, match="the limit is 65536"):
        parse_description(b"x" * 70_000)
