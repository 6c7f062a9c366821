"""Layouts: the fields of a C struct have the offsets of the compiler, and numpy reads what C wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quarterdeck.bpf.btf import Btf, BtfError
from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.layout import Alternative, Field, FieldKind, Layout, LayoutError, layout_of, layout_of_struct
from tests.compiled import compile_bpf
from tests.unit.bpf.binaries import BtfBuilder

SAMPLE = """
enum state { IDLE, RUNNING = 7 };
enum sign { NEGATIVE = -1, POSITIVE = 1 };
enum wide { WIDE = 0x100000000ULL };
typedef char comm_t[16];
typedef struct { __u64 start, end; } span_t;
struct in6_addr { union { __u8 u6_addr8[16]; __be32 u6_addr32[4]; } in6_u; };
struct task_struct;
struct slot { __u16 port; __u8 kind; };
struct sample {
    __u32 pid;
    char comm[16];
    comm_t name;
    __u64 when;
    __s16 delta;
    bool ok;
    unsigned low : 3, high : 13;
    signed turn : 5;
    __u64 far : 40;
    enum state state;
    enum sign sign;
    enum wide wide;
    enum state states[2];
    __u8 mac[6];
    __u32 slots[26];
    char lines[3][8];
    __s32 matrix[2][3];
    struct in6_addr source;
    span_t span;
    struct { __u32 inner; struct { __u8 deep; } nested; } holder;
    struct { __u16 anonymous; };
    union { __be32 v4; __u8 v6[16]; struct { __u32 first, second; }; };
    struct slot few[2];
    struct slot many[17];
    struct task_struct *task;
    void *stack[2];
    void (*callback)(int);
    unsigned __int128 huge;
    float ratio;
    double mean;
    const volatile __u32 constant;
};
struct packed_sample { __u8 tag; __u32 id; __u16 a : 9; __u16 b : 12; __u8 last; } __packed;
struct message { __u32 length; char text[]; };
struct words { __u32 length; __u64 words[]; };
struct sample *unused_sample; struct packed_sample *unused_packed; struct message *unused_message;
struct words *unused_words;
"""

OFFSETS = """
#define AT(member) offsetof(struct sample, member)
const volatile __u64 offsets[] = {
    AT(pid), AT(comm), AT(name), AT(when), AT(delta), AT(ok), AT(state), AT(sign), AT(wide), AT(states), AT(mac),
    AT(slots), AT(lines), AT(matrix), AT(source), AT(span.start), AT(span.end), AT(holder.inner),
    AT(holder.nested.deep), AT(anonymous), AT(v4), AT(v6), AT(first), AT(second), AT(few[0].port), AT(few[0].kind),
    AT(few[1].port), AT(few[1].kind), AT(many), AT(task), AT(stack), AT(callback), AT(huge), AT(ratio), AT(mean),
    AT(constant), sizeof(struct sample)
};
"""

VALUES = """
struct sample sample = {
    .pid = 7, .comm = "nginx", .name = "0123456789abcdef", .when = 1ULL << 40, .delta = -3, .ok = 1,
    .low = 5, .high = 4097, .turn = -2, .far = 0xabcdef0123, .state = RUNNING, .sign = NEGATIVE, .wide = WIDE,
    .states = { RUNNING, IDLE }, .mac = { 2, 0, 0, 0, 0, 1 }, .slots = { 1, 2, [25] = 9 },
    .lines = { "one", "two", "three" }, .matrix = { { 1, 2, 3 }, { -4, 5, 6 } },
    .source = { .in6_u = { .u6_addr8 = { 0xfe, 0x80, [15] = 1 } } }, .span = { 10, 20 },
    .holder = { 30, { 40 } }, .anonymous = 50, .first = 60, .second = 70,
    .few = { { 80, 1 }, { 443, 2 } }, .ratio = 0.5, .mean = 0.25, .constant = 99,
};
struct packed_sample packed = { .tag = 1, .id = 0x01020304, .a = 300, .b = 4000, .last = 9 };
"""


def sample() -> ObjectFile:
    return ObjectFile(compile_bpf(SAMPLE + OFFSETS + VALUES))


def values(file: ObjectFile, variable: str) -> Any:
    declared = file.variables[variable]
    layout = layout_of(file.btf, declared.type_id)
    return np.frombuffer(declared.value, dtype=layout.dtype())[0]


def test_every_member_lies_where_the_compiler_put_it() -> None:
    file = sample()
    layout = layout_of_struct(file.btf, "sample")
    expected = np.frombuffer(file.variables["offsets"].value, dtype=np.uint64).tolist()
    plain = [field.offset for field in layout.fields if field.kind is not FieldKind.BITFIELD]
    assert [*plain, layout.size] == expected


def test_every_kind_is_recognised() -> None:
    layout = layout_of_struct(sample().btf, "sample")
    kinds = {field.name: (field.kind.value, field.size, field.count, field.type_name) for field in layout.fields}
    assert kinds == {
        "pid": ("uint", 4, 1, "__u32"),
        "comm": ("chars", 16, 1, "char[16]"),
        "name": ("chars", 16, 1, "comm_t"),
        "when": ("uint", 8, 1, "__u64"),
        "delta": ("int", 2, 1, "__s16"),
        "ok": ("bool", 1, 1, "bool"),
        "low": ("bitfield", 1, 1, "unsigned int"),
        "high": ("bitfield", 2, 1, "unsigned int"),
        "turn": ("bitfield", 2, 1, "int"),
        "far": ("bitfield", 8, 1, "__u64"),
        "state": ("enum", 4, 1, "state"),
        "sign": ("enum", 4, 1, "sign"),
        "wide": ("enum", 8, 1, "wide"),
        "states": ("array", 8, 2, "state[2]"),
        "mac": ("bytes", 6, 1, "__u8[6]"),
        "slots": ("array", 104, 26, "__u32[26]"),
        "lines": ("array", 24, 3, "char[3][8]"),
        "matrix": ("array", 24, 6, "__s32[2][3]"),
        "source": ("bytes", 16, 1, "in6_addr"),
        "span.start": ("uint", 8, 1, "__u64"),
        "span.end": ("uint", 8, 1, "__u64"),
        "holder.inner": ("uint", 4, 1, "__u32"),
        "holder.nested.deep": ("uint", 1, 1, "__u8"),
        "anonymous": ("uint", 2, 1, "__u16"),
        "v4": ("uint", 4, 1, "__be32"),
        "v6": ("bytes", 16, 1, "__u8[16]"),
        "first": ("uint", 4, 1, "__u32"),
        "second": ("uint", 4, 1, "__u32"),
        "few.0.port": ("uint", 2, 1, "__u16"),
        "few.0.kind": ("uint", 1, 1, "__u8"),
        "few.1.port": ("uint", 2, 1, "__u16"),
        "few.1.kind": ("uint", 1, 1, "__u8"),
        "many": ("bytes", 68, 1, "slot[17]"),
        "task": ("uint", 8, 1, "task_struct *"),
        "stack": ("array", 16, 2, "void *[2]"),
        "callback": ("uint", 8, 1, "function *"),
        "huge": ("bytes", 16, 1, "unsigned __int128"),
        "ratio": ("float", 4, 1, "float"),
        "mean": ("float", 8, 1, "double"),
        "constant": ("uint", 4, 1, "__u32"),
    }
    fields = layout.by_name
    assert fields["states"].element is FieldKind.ENUM
    assert fields["lines"].element is FieldKind.CHARS
    assert fields["states"].enum == fields["state"].enum == {"IDLE": 0, "RUNNING": 7}
    assert (fields["sign"].signed, fields["state"].signed) == (True, False)
    assert fields["few.1.kind"].path == ("few", "1", "kind")
    assert (fields["high"].width, fields["turn"].signed) == (13, True)


def test_the_members_of_a_union_are_alternatives() -> None:
    fields = layout_of_struct(sample().btf, "sample").by_name
    start = fields["v4"].offset
    assert fields["v4"].union == Alternative(0, "v4", start, 16)
    assert fields["v6"].union == Alternative(1, "v6", start, 16)
    assert fields["first"].union == fields["second"].union == Alternative(2, "", start, 16)
    assert fields["pid"].union is None


def bits(value: Any, field: Field) -> int:
    number = int(value) >> field.shift & (1 << field.width) - 1
    return number - (1 << field.width) if field.signed and number >> (field.width - 1) else number


def test_numpy_reads_what_c_wrote() -> None:
    file = sample()
    row = values(file, "sample")
    fields = layout_of_struct(file.btf, "sample").by_name
    read = {
        name: row[name].tolist() if field.kind is not FieldKind.BITFIELD else bits(row[name], field)
        for name, field in fields.items()
    }
    del read["many"]
    assert read == {
        "pid": 7,
        "comm": b"nginx",
        "name": b"0123456789abcdef",
        "when": 1 << 40,
        "delta": -3,
        "ok": True,
        "low": 5,
        "high": 4097,
        "turn": -2,
        "far": 0xABCDEF0123,
        "state": 7,
        "sign": -1,
        "wide": 1 << 32,
        "states": [7, 0],
        "mac": bytes([2, 0, 0, 0, 0, 1]),
        "slots": [1, 2, *[0] * 23, 9],
        "lines": [b"one", b"two", b"three"],
        "matrix": [1, 2, 3, -4, 5, 6],
        "source": bytes([0xFE, 0x80, *[0] * 13, 1]),
        "span.start": 10,
        "span.end": 20,
        "holder.inner": 30,
        "holder.nested.deep": 40,
        "anonymous": 50,
        "v4": 60,
        "v6": bytes([60, 0, 0, 0, 70, *[0] * 11]),
        "first": 60,
        "second": 70,
        "few.0.port": 80,
        "few.0.kind": 1,
        "few.1.port": 443,
        "few.1.kind": 2,
        "task": 0,
        "stack": [0, 0],
        "callback": 0,
        "huge": bytes(16),
        "ratio": 0.5,
        "mean": 0.25,
        "constant": 99,
    }


def test_packed_bit_fields_that_cross_their_type_are_read() -> None:
    file = sample()
    row, fields = values(file, "packed"), layout_of_struct(file.btf, "packed_sample").by_name
    assert (row["tag"], row["id"], row["last"]) == (1, 0x01020304, 9)
    assert bits(row["a"], fields["a"]) == 300
    assert bits(row["b"], fields["b"]) == 4000


def test_a_flexible_array_is_the_tail() -> None:
    btf = sample().btf
    text = layout_of_struct(btf, "message").tail
    assert text is not None
    assert (text.name, text.kind, text.offset, text.count, text.size) == ("text", FieldKind.CHARS, 4, 0, 1)
    words = layout_of_struct(btf, "words").tail
    assert words is not None
    assert (words.kind, words.offset, words.size, words.type_name) == (FieldKind.UINT, 8, 8, "__u64[]")
    assert layout_of_struct(btf, "sample").tail is None


def test_a_plain_value_is_one_field() -> None:
    btf = BtfBuilder()
    integer = btf.integer("unsigned int", 4)
    u32 = btf.add(8, "u32", size=integer)
    stack = btf.add(3, words=(u32, integer, 127))
    graph = Btf(btf.build())
    assert layout_of(graph, u32) == Layout(
        "u32", 4, (Field(path=(), kind=FieldKind.UINT, offset=0, size=4, type_name="u32"),)
    )
    assert layout_of(graph, u32).dtype() == np.dtype([("value", "<u4")])
    assert layout_of(graph, stack).dtype() == np.dtype([("value", "<u4", (127,))])


def test_what_belongs_to_the_kernel_is_left_out() -> None:
    btf = BtfBuilder()
    integer = btf.integer("int", 4, signed=True)
    lock = btf.struct("bpf_spin_lock", 4, ("val", integer, 0))
    value = btf.struct("value", 8, ("lock", lock, 0), ("count", integer, 32))
    layout = layout_of(Btf(btf.build()), value)
    assert [field.name for field in layout.fields] == ["count"]
    assert layout.dtype().itemsize == 8


def test_bit_fields_of_old_compilers_are_recognised() -> None:
    btf = BtfBuilder()
    narrow = btf.add(1, "unsigned int", size=4, words=(3 << 16 | 5,))
    old = btf.struct("old", 4, ("bits", narrow, 8))
    (field,) = layout_of(Btf(btf.build()), old).fields
    assert (field.kind, field.offset, field.shift, field.width) == (FieldKind.BITFIELD, 1, 3, 5)


def test_what_cannot_be_laid_out_says_why() -> None:
    btf = BtfBuilder()
    integer = btf.integer("int", 4)
    endless_struct = btf.add(4, "endless", size=8, vlen=1, words=(btf.name("again"), 2, 0))
    outside = btf.struct("outside", 4, ("far", integer, 32))
    twice = btf.struct("twice", 8, ("same", integer, 0), ("same", integer, 32))
    wide = btf.struct("wide", 16, ("bits", integer, 70 << 24), flag=True)
    enormous = btf.add(3, words=(integer, integer, 0x7FFFFFFF))
    sixteen = btf.struct("leaf", 0)
    for _ in range(10):
        sixteen = btf.struct("", 0, ("x", btf.add(3, words=(sixteen, integer, 16)), 0))
    graph = Btf(btf.build())
    for type_id, words in (
        (endless_struct, "part of a circle"),
        (outside, "expected 'far' to lie within 4 bytes, found its end at byte 8"),
        (twice, "expected every member of 'twice' to have a name of its own"),
        (wide, "expected bit-field 'bits' to fit an integer, found 70 bits"),
        (enormous, "to take at most 67108864 bytes"),
        (sixteen, "expected a type of at most 65536 members in all"),
    ):
        with pytest.raises((LayoutError, BtfError), match=words):
            layout_of(graph, type_id)
    with pytest.raises(LayoutError, match="expected a struct or union called 'nothing'"):
        layout_of_struct(graph, "nothing")
