"""Conversions of a column to another type than its C type: the types that its bytes allow.

A `__be32` can be an IPv4 address, sixteen bytes an IPv6 address, a u64 a time of some clock. This module owns the table
of possible conversions, and refuses any other with a description of the column.
"""

from __future__ import annotations

from msgspec.structs import replace as changed

from quarterdeck.model.modules import Field, FieldKind
from quarterdeck.model.tables import Column, ColumnType

_INTEGERS = frozenset(ColumnType(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = frozenset({ColumnType.FLOAT32, ColumnType.FLOAT64})
#: powers of ten in one unit, by its short and full names
_NANOSECONDS = {
    **dict.fromkeys(("ns", "nanoseconds"), 1),
    **dict.fromkeys(("us", "µs", "microseconds"), 1_000),
    **dict.fromkeys(("ms", "milliseconds"), 1_000_000),
    **dict.fromkeys(("s", "sec", "seconds"), 1_000_000_000),
    **dict.fromkeys(("min", "minutes"), 60_000_000_000),
    **dict.fromkeys(("h", "hours"), 3_600_000_000_000),
    **dict.fromkeys(("d", "days"), 86_400_000_000_000),
}
_ADDRESS_BYTES = {ColumnType.IPV4: 4, ColumnType.IPV6: 16, ColumnType.IP: 16, ColumnType.MAC: 6}


class NotConvertible(Exception):
    """The bytes of the column cannot be converted to the type. The message describes the column."""


def convert(column: Column, field: Field, to: ColumnType) -> tuple[Column, Field]:
    """Return the column as type `to`, and the field that reads it. Raise `NotConvertible` if that is impossible."""
    if to is column.type:
        return column, field
    plain = changed(column, type=to, item=None, histogram="", values={})
    read = _number(field, to) if field.kind in {FieldKind.SCALAR, FieldKind.BITS} else None
    read = read or _address(field, to) or _bytes(field, to)
    if read is None:
        raise NotConvertible(f"it is {_described(column, field)}, which cannot be read as {to}")
    if to is ColumnType.LIST:
        plain = changed(plain, item=ColumnType.UINT8)
    if to is ColumnType.ENUM:
        plain = changed(plain, values=column.values)
    if to in _INTEGERS | _FLOATS:
        return plain, read
    if to in {ColumnType.TIMESTAMP, ColumnType.DURATION}:
        if column.unit and column.unit not in _NANOSECONDS:
            raise NotConvertible(f"its unit is '{column.unit}', and a time is counted in ns, us, ms, s, min, h or d")
        read = changed(read, scale=_NANOSECONDS.get(column.unit, 1))
    if to is ColumnType.DURATION:
        return changed(plain, unit=""), read
    return changed(plain, unit=""), changed(read, additive=False)


def is_whole_number(field: Field) -> bool:
    """Return whether the field reads one integer."""
    return field.kind in {FieldKind.SCALAR, FieldKind.BITS} and not field.floating


def _number(field: Field, to: ColumnType) -> Field | None:
    if to in _FLOATS:
        return field
    if field.floating:
        return None
    if to in _INTEGERS:
        same_size = field.kind is FieldKind.SCALAR and to.value.endswith(f"int{8 * field.size}")
        return changed(field, signed=not to.value.startswith("u")) if same_size else field
    if to is ColumnType.TIMESTAMP:
        return changed(field, clock=field.clock or "ktime") if field.size == 8 else None
    return field if to in {ColumnType.BOOL, ColumnType.ENUM, ColumnType.DURATION} else None


def _address(field: Field, to: ColumnType) -> Field | None:
    if to not in _ADDRESS_BYTES or _length(field) != _ADDRESS_BYTES[to]:
        return None
    if to is ColumnType.IPV4:
        # The kernel stores addresses in network order, whatever the C type is called.
        return changed(field, kind=FieldKind.SCALAR, size=4, count=1, signed=False, big_endian=True)
    return changed(field, kind=FieldKind.BYTES, size=_length(field), count=1)


def _bytes(field: Field, to: ColumnType) -> Field | None:
    if field.kind is FieldKind.TAIL:
        return field if to in {ColumnType.STRING, ColumnType.BINARY, ColumnType.JSON} else None
    if to is ColumnType.BINARY and field.kind in {FieldKind.CHARS, FieldKind.ARRAY, FieldKind.SCALAR}:
        return changed(field, kind=FieldKind.BYTES, size=_length(field), count=1)
    single = field.kind in {FieldKind.CHARS, FieldKind.BYTES} or (field.kind is FieldKind.ARRAY and field.size == 1)
    if not single:
        return None
    if to in {ColumnType.STRING, ColumnType.JSON}:
        return changed(field, kind=FieldKind.CHARS, size=_length(field), count=1)
    if to is ColumnType.LIST:
        return changed(field, kind=FieldKind.ARRAY, size=1, count=_length(field))
    return None


def _length(field: Field) -> int:
    return field.size * field.count if field.kind is FieldKind.ARRAY else field.size


def _described(column: Column, field: Field) -> str:
    kind = f"list of {field.count} {column.item}" if column.item else str(column.type)
    return f"a {kind} of {_length(field)} bytes" if field.size else f"a {kind}"
