"""The BTF type graph: every kind is read, everything is found by name, and damage is reported."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from quarterdeck.bpf.btf import (
    Array,
    Btf,
    BtfError,
    Composite,
    DataSection,
    DeclTag,
    Enum,
    Float,
    Forward,
    Function,
    Int,
    Kind,
    Member,
    Modifier,
    Parameter,
    Placement,
    Pointer,
    Prototype,
    Variable,
    Void,
)
from quarterdeck.bpf.errors import BpfError
from tests.unit.bpf.binaries import BtfBuilder


def test_every_kind_is_read() -> None:
    btf = BtfBuilder()
    integer = btf.integer("int", 4, signed=True)
    boolean = btf.integer("_Bool", 1, boolean=True)
    expected = {
        0: Void(),
        integer: Int("int", 4, 32, 0, signed=True, boolean=False),
        boolean: Int("_Bool", 1, 8, 0, signed=False, boolean=True),
        btf.add(2, size=integer): Pointer(integer),
        btf.add(3, words=(integer, integer, 7)): Array(integer, 7),
        btf.struct("point", 8, ("x", integer, 0), ("y", integer, 32)): Composite(
            "point", 8, (Member("x", integer, 0, 0), Member("y", integer, 32, 0)), Kind.STRUCT
        ),
        btf.struct("flags", 4, ("low", integer, 3 << 24), ("high", integer, 5 << 24 | 3), flag=True): Composite(
            "flags", 4, (Member("low", integer, 0, 3), Member("high", integer, 3, 5)), Kind.STRUCT
        ),
        btf.struct("either", 4, ("a", integer, 0), kind=5): Composite(
            "either", 4, (Member("a", integer, 0, 0),), Kind.UNION
        ),
        btf.add(6, "sign", size=4, vlen=2, flag=True, words=(btf.name("NEG"), 0xFFFFFFFF, btf.name("POS"), 1)): Enum(
            "sign", 4, signed=True, values={"NEG": -1, "POS": 1}
        ),
        btf.add(6, "big", size=4, vlen=1, words=(btf.name("BIG"), 0xFFFFFFFF)): Enum(
            "big", 4, signed=False, values={"BIG": 0xFFFFFFFF}
        ),
        btf.add(19, "huge", size=8, vlen=1, words=(btf.name("HUGE"), 1, 1 << 31)): Enum(
            "huge", 8, signed=False, values={"HUGE": (1 << 63) + 1}
        ),
        btf.add(19, "less", size=8, vlen=1, flag=True, words=(btf.name("LESS"), 0xFFFFFFFE, 0xFFFFFFFF)): Enum(
            "less", 8, signed=True, values={"LESS": -2}
        ),
        btf.add(7, "later", flag=True): Forward("later", is_union=True),
        btf.add(8, "pid_t", size=integer): Modifier("pid_t", integer, Kind.TYPEDEF),
        btf.add(9, size=integer): Modifier("", integer, Kind.VOLATILE),
        btf.add(10, size=integer): Modifier("", integer, Kind.CONST),
        btf.add(11, size=integer): Modifier("", integer, Kind.RESTRICT),
        btf.add(18, "user", size=integer): Modifier("user", integer, Kind.TYPE_TAG),
        btf.add(13, size=integer, vlen=2, words=(btf.name("count"), integer, 0, 0)): Prototype(
            integer, (Parameter("count", integer), Parameter("", 0))
        ),
        btf.add(12, "main", size=19, vlen=1): Function("main", 19, 1),
        btf.add(14, "total", size=integer, words=(1,)): Variable("total", integer, 1),
        btf.add(15, ".bss", size=4, vlen=1, words=(21, 8, 4)): DataSection(".bss", 4, (Placement(21, 8, 4),)),
        btf.add(16, "double", size=8): Float("double", 8),
        btf.add(17, "note", size=integer, words=(0xFFFFFFFF,)): DeclTag("note", integer, -1),
    }
    graph = Btf(btf.build())
    assert len(graph) == len(expected)
    assert {type_id: graph.type(type_id) for type_id in range(len(graph))} == expected


def test_types_are_found_by_name_and_kind() -> None:
    btf = BtfBuilder()
    integer = btf.integer("int", 4)
    struct_event = btf.struct("event", 4, ("pid", integer, 0))
    typedef = btf.add(8, "event_t", size=struct_event)
    function = btf.add(12, "event", size=integer)
    btf.add(8, "number", size=integer)
    graph = Btf(btf.build())
    assert graph.find("event", Kind.STRUCT) == struct_event
    assert graph.find("event", Kind.FUNCTION) == function
    assert graph.find("event", Kind.ENUM) is None
    assert graph.find("vent", Kind.STRUCT) is None
    assert graph.find("", Kind.STRUCT) is None
    assert graph.find_composite("event") == struct_event
    assert graph.find_composite("event_t") == typedef
    assert graph.find_composite("number") is None
    assert graph.ids(Kind.TYPEDEF, Kind.FUNCTION) == [3, 4, 5]


def test_types_are_followed_and_measured_and_spelt() -> None:
    btf = BtfBuilder()
    integer = btf.integer("unsigned int", 4)
    u32 = btf.add(8, "u32", size=integer)
    constant = btf.add(10, size=btf.add(9, size=u32))
    table = btf.add(3, words=(btf.add(3, words=(constant, integer, 8)), integer, 4))
    task = btf.struct("task_struct", 16)
    task_pointers = btf.add(3, words=(btf.add(2, size=btf.add(2, size=task)), integer, 3))
    callback = btf.add(2, size=btf.add(13))
    anonymous = [btf.struct("", 4), btf.struct("", 4, kind=5), btf.add(6, size=4)]
    flexible = btf.add(3, words=(u32, integer, 0))
    graph = Btf(btf.build())
    assert graph.resolve(constant) == Int("unsigned int", 4, 32, 0, signed=False, boolean=False)
    sizes = {constant: 4, table: 128, task: 16, task_pointers: 24, callback: 8, flexible: 0}
    assert {type_id: graph.size(type_id) for type_id in sizes} == sizes
    spelling = {
        0: "void",
        constant: "u32",
        table: "u32[4][8]",
        task_pointers: "task_struct **[3]",
        callback: "function *",
        flexible: "u32[]",
    }
    assert {type_id: graph.spell(type_id) for type_id in spelling} == spelling
    assert [graph.spell(type_id) for type_id in anonymous] == ["struct", "union", "enum"]


@pytest.mark.parametrize("kind", [8, 9, 10, 11, 18])
def test_a_circle_of_names_ends_in_an_error(kind: int) -> None:
    btf = BtfBuilder()
    btf.add(kind, "a", size=2)
    btf.add(kind, "b", size=1)
    graph = Btf(btf.build())
    for follow in (graph.resolve, graph.size):
        with pytest.raises(BtfError, match="type 1 is part of a circle"):
            follow(1)


def test_a_circle_of_arrays_or_pointers_ends_in_an_error() -> None:
    btf = BtfBuilder()
    integer = btf.integer("int", 4)
    array = btf.add(3, words=(2, integer, 0xFFFFFFFF))
    pointer = btf.add(2, size=3)
    graph = Btf(btf.build())
    for follow, start in ((graph.size, array), (graph.spell, array), (graph.spell, pointer)):
        with pytest.raises(BtfError, match="part of a circle"):
            follow(start)


def test_what_has_no_size_says_so() -> None:
    graph = Btf(BtfBuilder().build())
    with pytest.raises(BtfError, match="expected a type with a size, found 'void'"):
        graph.size(0)


@pytest.mark.parametrize("type_id", [-1, 2, 1 << 40])
def test_an_id_outside_is_an_error(type_id: int) -> None:
    btf = BtfBuilder()
    btf.integer("int", 4)
    with pytest.raises(BtfError, match=f"expected a type id below 2, found {type_id}"):
        Btf(btf.build()).type(type_id)


def test_a_name_outside_is_an_error() -> None:
    btf = BtfBuilder()
    btf.integer("int", 4)
    data = bytearray(btf.build())
    struct.pack_into("<I", data, 24, 1000)
    with pytest.raises(BtfError, match="expected a name within 5 bytes of strings, found offset 1000"):
        Btf(bytes(data)).type(1)


def damaged(offset: int, content: bytes) -> bytes:
    btf = BtfBuilder()
    btf.integer("int", 4)
    data = bytearray(btf.build())
    data[offset : offset + len(content)] = content
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected a BTF header of 24 bytes, found 0"),
        (b"\xeb\x9f" + bytes(30), "expected little-endian BTF, found big-endian"),
        (bytes(30), "expected BTF .* version 1, found 0x0"),
        (damaged(2, b"\x02"), "version 2"),
        (damaged(4, b"\x04"), "expected 26 bytes of BTF|expected .* bytes of BTF"),
        (damaged(0, b"")[:-1], "expected 45 bytes of BTF as its header says, found 44"),
        (damaged(12, b"\xff\xff\xff\xff"), "bytes of BTF as its header says"),
        (damaged(12, b"\x0e"), "expected BTF types in whole 32-bit words, found 14"),
        (damaged(24 + 7, b"\x00"), "expected a known kind of type as number 1, found 0"),
        (damaged(24 + 7, b"\x1f"), "expected a known kind of type as number 1, found 31"),
        (damaged(24 + 4, b"\xff\xff\x00\x04"), "expected type number 1 to end by byte 16, found its end at 786432"),
        (damaged(24 + 7, b"\x02"), "expected type number 1 to end by byte 16, found its end at 12"),
    ],
)
def test_what_is_damaged_is_named(data: bytes, words: str) -> None:
    with pytest.raises(BtfError, match=words) as raised:
        Btf(data)
    assert isinstance(raised.value, BpfError)


def test_a_kernel_without_types_says_so(tmp_path: Path) -> None:
    with pytest.raises(BtfError, match="CONFIG_DEBUG_INFO_BTF"):
        Btf.kernel(tmp_path / "vmlinux")
