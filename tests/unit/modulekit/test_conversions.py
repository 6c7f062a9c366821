"""Conversions of columns to other types: those allowed and those refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from quarterdeck.model.modules import Field, FieldKind
from quarterdeck.model.tables import Column, ColumnType
from quarterdeck.modulekit.conversions import NotConvertible, convert

U32 = (Column(name="x", type=ColumnType.UINT32, unit="B"), Field(column="x", kind=FieldKind.SCALAR, offset=4, size=4))
U64 = (
    Column(name="x", type=ColumnType.UINT64),
    Field(column="x", kind=FieldKind.SCALAR, offset=0, size=8, additive=True),
)
BYTES16 = (Column(name="x", type=ColumnType.BINARY), Field(column="x", kind=FieldKind.BYTES, offset=0, size=16))
WORDS = (
    Column(name="x", type=ColumnType.LIST, item=ColumnType.UINT32),
    Field(column="x", kind=FieldKind.ARRAY, offset=0, size=4, count=4),
)
DOUBLE = (
    Column(name="x", type=ColumnType.FLOAT64),
    Field(column="x", kind=FieldKind.SCALAR, offset=0, size=8, floating=True),
)


def test_an_ipv4_address_is_in_network_order() -> None:
    column, field = convert(*U32, ColumnType.IPV4)
    assert (column.type, column.unit, field.big_endian, field.offset) == (ColumnType.IPV4, "", True, 4)


@pytest.mark.parametrize("kind", [ColumnType.IPV6, ColumnType.IP])
@pytest.mark.parametrize("source", [BYTES16, WORDS])
def test_sixteen_bytes_are_an_address(source: tuple[Column, Field], kind: ColumnType) -> None:
    column, field = convert(*source, kind)
    assert (column.type, column.item, field.kind, field.size, field.count) == (
        kind,
        None,
        FieldKind.BYTES,
        16,
        1,
    )


def test_a_moment_has_a_clock_and_is_no_counter() -> None:
    _, field = convert(*U64, ColumnType.TIMESTAMP)
    assert (field.clock, field.additive) == ("ktime", False)


@pytest.mark.parametrize(("unit", "scale"), [("", 1), ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 10**9)])
def test_a_unit_is_nanoseconds_in_the_end(unit: str, scale: int) -> None:
    for kind in (ColumnType.TIMESTAMP, ColumnType.DURATION):
        column, field = convert(replace(U64[0], unit=unit), U64[1], kind)
        assert (column.unit, field.scale) == ("", scale)


def test_a_number_of_the_same_size_changes_its_sign() -> None:
    assert convert(*U32, ColumnType.INT32)[1].signed
    assert not convert(*U32, ColumnType.INT64)[1].signed


def test_bytes_are_text() -> None:
    assert convert(*BYTES16, ColumnType.STRING)[1].kind is FieldKind.CHARS
    column, field = convert(*BYTES16, ColumnType.LIST)
    assert (column.item, field.size, field.count) == (ColumnType.UINT8, 1, 16)


@pytest.mark.parametrize(
    ("source", "to"),
    [
        (U32, ColumnType.IPV6),
        (U32, ColumnType.STRING),
        (U32, ColumnType.TIMESTAMP),
        (BYTES16, ColumnType.UINT64),
        (BYTES16, ColumnType.MAC),
        (WORDS, ColumnType.STRING),
        (DOUBLE, ColumnType.INT64),
        (U64, ColumnType.MAP),
    ],
)
def test_refuses_what_the_bytes_do_not_allow(source: tuple[Column, Field], to: ColumnType) -> None:
    with pytest.raises(NotConvertible, match=f"cannot be read as {to}"):
        convert(*source, to)


def test_a_column_of_the_wanted_type_is_unchanged() -> None:
    assert convert(*U32, ColumnType.UINT32) == (replace(U32[0]), U32[1])


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        *(("", 1), ("ns", 1), ("us", 10**3), ("ms", 10**6), ("s", 10**9), ("seconds", 10**9)),
        *(("min", 60 * 10**9), ("minutes", 60 * 10**9), ("h", 3600 * 10**9), ("days", 86_400 * 10**9)),
    ],
)
def test_a_duration_is_read_in_its_unit(unit: str, scale: int) -> None:
    column, field = convert(replace(U64[0], unit=unit), U64[1], ColumnType.DURATION)
    assert (column.unit, field.scale) == ("", scale)


@pytest.mark.parametrize("unit", ["jiffies", "pages", "B", "M", "fortnights"])
@pytest.mark.parametrize("kind", [ColumnType.DURATION, ColumnType.TIMESTAMP])
def test_a_time_in_no_unit_of_time_is_refused(unit: str, kind: ColumnType) -> None:
    with pytest.raises(NotConvertible, match=f"its unit is '{unit}', and a time is counted in ns, us, ms, s, min"):
        convert(replace(U64[0], unit=unit), U64[1], kind)
