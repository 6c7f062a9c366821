"""Values become the bytes of their C type, or are refused with a message."""

from __future__ import annotations

import struct

import pytest

from quarterdeck.bpf.btf import Btf
from quarterdeck.bpf.layout import Layout, layout_of
from quarterdeck.bpf.values import Value, ValueMismatch, pack
from tests.unit.bpf.binaries import BtfBuilder


def layouts() -> dict[str, Layout]:
    btf = BtfBuilder()
    u32 = btf.integer("u32", 4)
    s8 = btf.integer("s8", 1, signed=True)
    u8 = btf.integer("unsigned char", 1)
    char = btf.integer("char", 1, signed=True)
    ids = {
        "u32": u32,
        "s8": s8,
        "bool": btf.integer("_Bool", 1, boolean=True),
        "float": btf.add(16, "float", size=4),
        "enum": btf.add(6, "mode", size=4, vlen=2, words=(btf.name("OFF"), 0, btf.name("ON"), 7)),
        "text": btf.add(3, words=(char, u32, 8)),
        "bytes": btf.add(3, words=(u8, u32, 4)),
        "numbers": btf.add(3, words=(u32, u32, 3)),
    }
    pair = btf.struct("pair", 8, ("low", u32, 0), ("high", u32, 32))
    pairs = btf.add(3, words=(pair, u32, 2))
    ids["struct"] = btf.struct("limits", 28, ("pid", u32, 0), ("span", pair, 32), ("pairs", pairs, 96))
    ids["bits"] = btf.struct("bits", 4, ("a", u32, 3 << 24), ("b", s8, 5 << 24 | 3), flag=True)
    graph = Btf(btf.build())
    return {name: layout_of(graph, type_id) for name, type_id in ids.items()}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("u32", 7, struct.pack("<I", 7)),
        ("u32", "0x10", struct.pack("<I", 16)),
        ("u32", True, struct.pack("<I", 1)),
        ("s8", -128, b"\x80"),
        ("bool", "true", b"\1"),
        ("bool", False, b"\0"),
        ("bool", 1, b"\1"),
        ("float", "0.5", struct.pack("<f", 0.5)),
        ("enum", "ON", struct.pack("<I", 7)),
        ("enum", 3, struct.pack("<I", 3)),
        ("text", "nginx", b"nginx\0\0\0"),
        ("text", b"1234567", b"1234567\0"),
        ("bytes", "0x0a0b", b"\x0a\x0b\0\0"),
        ("bytes", [1, 2], b"\1\2\0\0"),
        ("bytes", b"abcd", b"abcd"),
        ("numbers", "1, 2", struct.pack("<III", 1, 2, 0)),
        ("numbers", [1, "2", 3], struct.pack("<III", 1, 2, 3)),
        ("struct", {"pid": 1, "span": {"low": 2, "high": 3}}, struct.pack("<7I", 1, 2, 3, 0, 0, 0, 0)),
        ("struct", {"span.high": "4"}, struct.pack("<7I", 0, 0, 4, 0, 0, 0, 0)),
        ("struct", {"pairs": [{"low": 5}, {"high": 6}]}, struct.pack("<7I", 0, 0, 0, 5, 0, 0, 6)),
        ("bits", {"a": 5, "b": -1}, b"\xfd\0\0\0"),
    ],
)
def test_what_fits_is_packed(kind: str, value: Value, expected: bytes) -> None:
    assert pack(layouts()[kind], value) == expected


def test_what_is_left_out_stays_as_it_was() -> None:
    found = layouts()
    assert pack(found["numbers"], [9], struct.pack("<III", 1, 2, 3)) == struct.pack("<III", 9, 2, 3)
    assert pack(found["struct"], {"pid": 9}, bytes(range(28))) == struct.pack("<I", 9) + bytes(range(4, 28))
    assert pack(found["bits"], {"a": 0}, b"\xff\xff\xff\xff") == b"\xf8\xff\xff\xff"


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("u32", -1, "expected a whole number from 0 to 4294967295 for 'value' (u32), found -1"),
        ("u32", 1 << 32, "found 4294967296"),
        ("u32", "ten", "found 'ten'"),
        ("u32", 1.5, "found 1.5"),
        ("u32", [1], "found 'value.0'|expected a whole number"),
        ("s8", 128, "expected a whole number from -128 to 127"),
        ("bool", "maybe", "expected true or false for 'value' (_Bool), found 'maybe'"),
        ("bool", 2, "expected true or false"),
        ("float", "much", "expected a number that fits 4 bytes"),
        ("float", 1e300, "expected a number that fits 4 bytes"),
        ("float", [1.0], "expected a number"),
        ("enum", "MAYBE", "or one of OFF, ON for 'value' (mode), found 'MAYBE'"),
        ("text", "12345678", "expected text of at most 7 bytes"),
        ("text", 5, "expected text of at most 7 bytes"),
        ("bytes", "xyz", "expected at most 4 bytes in hex"),
        ("bytes", "0102030405", "expected at most 4 bytes in hex"),
        ("bytes", [256], "expected a whole number from 0 to 255"),
        ("numbers", [1, 2, 3, 4], "expected up to 3 elements for 'value' (u32[3]), found '4 elements'"),
        ("numbers", 5, "expected up to 3 elements"),
        ("struct", {"pod": 1}, "expected a member of 'limits' (pid, span.low, span.high, pairs.0.low"),
        ("struct", 5, "expected a member of 'limits'"),
        ("bits", {"a": 8}, "expected a whole number from 0 to 7"),
        ("bits", {"b": 16}, "expected a whole number from -16 to 15"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(kind: str, value: Value, words: str) -> None:
    with pytest.raises(ValueMismatch) as raised:
        pack(layouts()[kind], value)
    assert any(part in str(raised.value) for part in words.split("|"))
