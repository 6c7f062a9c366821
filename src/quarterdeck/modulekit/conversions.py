"""Reading a column as another type than its C type says: which readings the bytes allow.

A `__be32` can be an IPv4 address, sixteen bytes an IPv6 one, a u64 a moment of some clock. Owns the table of what goes;
refuses everything else with what the column is.
"""

from __future__ import annotations

from msgspec.structs import replace as changed

from quarterdeck.model.modules import Field, FieldKind
from quarterdeck.model.tables import Column, ColumnType

_INTEGERS = frozenset(ColumnType(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = frozenset({ColumnType.FLOAT32, ColumnType.FLOAT64})
_NANOSECONDS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}  #: in one of a unit
_ADDRESS_BYTES = {ColumnType.IPV4: 4, ColumnType.IPV6: 16, ColumnType.MAC: 6}


class NotConvertible(Exception):
    """The bytes of the column cannot be read so; the message says what the column is."""


def convert(column: Column, field: Field, to: ColumnType) -> tuple[Column, Field]:
    """The column as type `to`, and the field that reads it; NotConvertible where the bytes do not allow it."""
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
        read = changed(read, scale=_NANOSECONDS.get(column.unit, 1))
    if to is ColumnType.DURATION:
        return changed(plain, unit=""), read
    return changed(plain, unit=""), changed(read, additive=False)


def is_whole_number(field: Field) -> bool:
    """Whether the field reads one integer."""
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
        # The kernel keeps addresses in network order whatever the C type is called.
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
