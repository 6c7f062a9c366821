"""Fields of all records at once are what `struct` reads from each record alone, whatever the layout."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.extract import Extractor, Tools
from quarterdeck.agent.modules.stacks import Stacks
from quarterdeck.agent.modules.texts import Texts
from quarterdeck.bpf.records import Records
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.columns.values import Values, Varying
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.modules import Field, FieldKind, TableSource
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.wasm.engine import Engine

NOW_NS = 1_700_000_000_000_000_000
TOOLS: Tools
CODES = {(1, 0): "B", (1, 1): "b", (2, 0): "H", (2, 1): "h", (4, 0): "I", (4, 1): "i", (8, 0): "Q", (8, 1): "q"}


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    global TOOLS  # noqa: PLW0603 - a fixture's value cannot reach what Hypothesis draws
    engine = Engine()
    clock = EpochClock(lambda clock: NOW_NS if clock == 0 else 1_000_000)
    TOOLS = Tools(Texts(engine), clock, Stacks(Symbolizer(), {}))
    yield
    del TOOLS
    engine.close()


def extractor(*fields: tuple[Column, Field | None], size: int = 64) -> Extractor:
    table = Table(name="t", columns=tuple(column for column, _ in fields))
    source = TableSource(
        table=table, maps=("m",), record_size=size, fields=tuple(field for _, field in fields if field is not None)
    )
    return Extractor(source, TOOLS)


def records(*payloads: bytes, gap: int = 8) -> Records:
    """Return payloads as in a ring: a header before each, each padded to 8 bytes."""
    data, offsets = b"", []
    for payload in payloads:
        data += b"\xaa" * gap
        offsets.append(len(data))
        data += payload + b"\xbb" * (-len(payload) % 8)
    return Records(
        np.frombuffer(data, np.uint8),
        np.array(offsets, np.int64),
        np.array([len(payload) for payload in payloads], np.int64),
        len(data),
    )


def plain(values: Values, *, text: bool = False) -> list[Any]:
    if isinstance(values, np.ndarray):
        return values.tolist()
    assert isinstance(values, Varying)
    assert isinstance(values.items, np.ndarray)
    parts = [values.items[a:b] for a, b in zip(values.offsets[:-1], values.offsets[1:], strict=True)]
    return [part.tobytes() if text else part.tolist() for part in parts]


def column(name: str, kind: ColumnType, **more: Any) -> Column:
    return Column(name=name, type=kind, **more)


@st.composite
def scalars(draw: st.DrawFn) -> tuple[Column, Field, str]:
    size, signed, big = draw(st.sampled_from([1, 2, 4, 8])), draw(st.booleans()), draw(st.booleans())
    name = f"f{draw(st.integers(0, 10**9))}"
    field = Field(
        column=name, kind=FieldKind.SCALAR, offset=draw(st.integers(0, 600)), size=size, signed=signed, big_endian=big
    )
    kind = ColumnType(f"{'' if signed else 'u'}int{8 * size}")
    return column(name, kind), field, f"{'>' if big else '<'}{CODES[size, signed]}"


@given(st.lists(scalars(), min_size=1, max_size=6), st.lists(st.binary(max_size=640), max_size=6), st.booleans())
def test_numbers_are_what_struct_unpacks(
    layout: list[tuple[Column, Field, str]], payloads: list[bytes], equal: bool
) -> None:
    if equal:
        payloads = [payload.ljust(640, b"\x01") for payload in payloads]
    layout = list({each[0].name: each for each in layout}.values())
    batch = extractor(*((column, field) for column, field, _ in layout)).batch(records(*payloads))
    for each, field, code in layout:
        whole = [payload.ljust(1024, b"\0") for payload in payloads]
        assert plain(batch.columns[each.name]) == [struct.unpack_from(code, one, field.offset)[0] for one in whole]


PIECES = st.sampled_from([b"\0", b"a", b"bc", b"d" * 15, b"e" * 33])


@given(
    st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=6),
    st.integers(0, 40),
    st.integers(1, 80),
    st.sampled_from([FieldKind.CHARS, FieldKind.TAIL]),
    st.booleans(),
)
def test_texts_end_where_a_naive_reader_ends_them(
    payloads: list[bytes], offset: int, size: int, kind: FieldKind, equal: bool
) -> None:
    if equal:
        payloads = [payload.ljust(200, b"\0") for payload in payloads]
    field = {"kind": kind, "offset": offset, "size": size}
    batch = extractor(
        (column("s", ColumnType.STRING), Field(column="s", **field)),
        (column("b", ColumnType.BINARY), Field(column="b", **field)),
        (column("j", ColumnType.STRING), Field(column="j", join="; ", **field)),
        (column("k", ColumnType.STRING), Field(column="k", join=" ", **field)),
    ).batch(records(*payloads))
    raw = [payload[offset:] if kind is FieldKind.TAIL else payload[offset : offset + size] for payload in payloads]
    assert plain(batch.columns["s"], text=True) == [one.split(b"\0")[0] for one in raw]
    assert plain(batch.columns["b"], text=True) == raw
    assert plain(batch.columns["j"], text=True) == [one.rstrip(b"\0").replace(b"\0", b"; ") for one in raw]
    assert plain(batch.columns["k"], text=True) == [one.rstrip(b"\0").replace(b"\0", b" ") for one in raw]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=8), st.integers(0, 31), st.data())
def test_bit_fields(words: list[int], shift: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 32 - shift))
    bits = {"kind": FieldKind.BITS, "offset": 4, "size": 4, "shift": shift, "width": width}
    batch = extractor(
        (column("u", ColumnType.UINT32), Field(column="u", **bits)),
        (column("i", ColumnType.INT64), Field(column="i", signed=True, **bits)),
        (column("b", ColumnType.BOOL), Field(column="b", **bits)),
    ).batch(records(*(struct.pack("<II", 0xFFFFFFFF, word) for word in words)))
    unsigned = [word >> shift & ((1 << width) - 1) for word in words]
    assert plain(batch.columns["u"]) == unsigned
    assert plain(batch.columns["i"]) == [bits - (1 << width) if bits >> (width - 1) else bits for bits in unsigned]
    assert plain(batch.columns["b"]) == [bool(bits) for bits in unsigned]


def test_addresses_arrays_floats_and_enums() -> None:
    payload = struct.pack(
        "<4s16s6sxx3I2df", bytes([127, 0, 0, 1]), bytes(range(16)), bytes([1, 2, 3, 4, 5, 6]), 7, 8, 9, 0.5, 1.5, 2.5
    )
    batch = extractor(
        (column("v4", ColumnType.IPV4), Field(column="v4", kind=FieldKind.SCALAR, offset=0, size=4, big_endian=True)),
        (column("v4b", ColumnType.IPV4), Field(column="v4b", kind=FieldKind.BYTES, offset=0, size=4)),
        (column("v6", ColumnType.IPV6), Field(column="v6", kind=FieldKind.BYTES, offset=4, size=16)),
        (column("mac", ColumnType.MAC), Field(column="mac", kind=FieldKind.BYTES, offset=20, size=6)),
        (column("raw", ColumnType.BINARY), Field(column="raw", kind=FieldKind.BYTES, offset=20, size=6)),
        (
            column("list", ColumnType.LIST, item=ColumnType.UINT64),
            Field(column="list", kind=FieldKind.ARRAY, offset=28, size=4, count=3),
        ),
        (column("f", ColumnType.FLOAT64), Field(column="f", kind=FieldKind.SCALAR, offset=40, size=8, floating=True)),
        (column("e", ColumnType.ENUM), Field(column="e", kind=FieldKind.SCALAR, offset=28, size=4)),
    ).batch(records(payload, payload))
    assert plain(batch.columns["v4"]) == plain(batch.columns["v4b"]) == [0x7F000001] * 2
    assert np.asarray(batch.columns["v6"]).tobytes() == bytes(range(16)) * 2
    assert plain(batch.columns["mac"]) == [0x010203040506] * 2
    assert plain(batch.columns["raw"], text=True) == [bytes([1, 2, 3, 4, 5, 6])] * 2
    assert plain(batch.columns["list"]) == [[7, 8, 9]] * 2
    assert plain(batch.columns["f"]) == [0.5, 0.5]
    assert np.asarray(batch.columns["e"]).dtype == np.int32


@pytest.mark.parametrize("code", ["<H", ">H", "<I", "<B"])
def test_an_address_is_of_the_kind_that_its_family_says(code: str) -> None:
    size = struct.calcsize(code)
    place = Field(column="ip", kind=FieldKind.BYTES, offset=0, size=16, family_offset=16, family_size=size)
    ip, v6 = (column("ip", ColumnType.IP), place), bytes(range(1, 17))
    v4, mapped = bytes([127, 0, 0, 1]), bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])
    found = extractor(ip).batch(
        records(
            *(
                address.ljust(16, b"\xcc") + struct.pack(code, family)
                for address, family in [(v4, 2), (v4, 4), (v6, 10), (v6, 6), (mapped, 2), (mapped, 10), (v6, 0)]
            )
        )
    )
    values = np.asarray(found.columns["ip"])
    assert [row.tobytes() for row in values] == [mapped, mapped, v6, v6, mapped, mapped, v6]
    bare = extractor((ip[0], Field(column="ip", kind=FieldKind.BYTES, offset=0, size=16))).batch(records(v6, mapped))
    assert [row.tobytes() for row in np.asarray(bare.columns["ip"])] == [v6, mapped]


def test_times_become_epoch_and_without_a_field_the_moment_of_reading() -> None:
    ktime = Field(column="time", kind=FieldKind.SCALAR, offset=0, size=8, clock="ktime")
    start = Field(column="start", kind=FieldKind.SCALAR, offset=0, size=8, clock="realtime")
    made = extractor(
        (column("time", ColumnType.TIMESTAMP), ktime), (column("start", ColumnType.TIMESTAMP), start)
    ).batch(records(struct.pack("<Q", 1_000_500), struct.pack("<Q", 0)))
    assert plain(made.columns["time"]) == [NOW_NS + 500, 0]
    assert plain(made.columns["start"]) == [1_000_500, 0]
    assert plain(extractor((column("time", ColumnType.TIMESTAMP), None)).batch(records(b"")).columns["time"]) == [
        NOW_NS
    ]


def test_nothing_returned_looks_at_the_records_any_more() -> None:
    found = records(*[b"12345678"] * 4, gap=0)
    data = found.data.copy()
    view = Records(data, found.offsets, found.sizes, 0)
    batch = extractor(
        (column("n", ColumnType.UINT64), Field(column="n", kind=FieldKind.SCALAR, offset=0, size=8)),
        (column("b", ColumnType.BINARY), Field(column="b", kind=FieldKind.BYTES, offset=0, size=8)),
        (column("s", ColumnType.STRING), Field(column="s", kind=FieldKind.CHARS, offset=0, size=8)),
        (
            column("l", ColumnType.LIST, item=ColumnType.UINT8),
            Field(column="l", kind=FieldKind.ARRAY, offset=0, size=1, count=8),
        ),
    ).batch(view)
    data[:] = 0
    assert plain(batch.columns["n"]) == [int.from_bytes(b"12345678", "little")] * 4
    assert plain(batch.columns["b"], text=True) == plain(batch.columns["s"], text=True) == [b"12345678"] * 4
    assert plain(batch.columns["l"]) == [list(b"12345678")] * 4


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (ColumnType.UINT32, None),
        (ColumnType.IPV6, Field(column="c", kind=FieldKind.BYTES, offset=0, size=4)),
        (ColumnType.UINT32, Field(column="c", kind=FieldKind.CHARS, offset=0, size=4)),
        (ColumnType.UINT64, Field(column="c", kind=FieldKind.SCALAR, offset=0, size=16)),
        (ColumnType.STRING, Field(column="c", kind=FieldKind.SCALAR, offset=0, size=4)),
    ],
)
def test_a_field_that_cannot_be_its_column_is_refused(kind: ColumnType, field: Field | None) -> None:
    with pytest.raises(BadProgram, match="Column c of type"):
        extractor((column("c", kind), field))
