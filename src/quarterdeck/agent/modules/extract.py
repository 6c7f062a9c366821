"""Turns records into columns: reads each field of all records at once, at the place that `model.Field` gives.

Owns the reading of every FieldKind, vectorised: numbers are strided copies, texts are read by `Texts`, stack ids by
`Stacks`. Where a record is shorter than its struct, the missing part is zero or empty. It never decides which records
to read, and every array that it returns is a copy: the memory of the records may be returned to the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.enum_names import EnumNames
from quarterdeck.agent.modules.stacks import Stacks
from quarterdeck.agent.modules.texts import End, Texts
from quarterdeck.agent.modules.times import TIME
from quarterdeck.bpf.records import Bytes, Records
from quarterdeck.columns.arrow import NUMBER_TYPES
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Numbers, Values, Varying
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.modules import Field, FieldKind, TableSource
from quarterdeck.model.tables import Column, ColumnType

#: Fields that end within this many bytes of a record are taken from one common copy when records differ in length.
NEAR_BYTES = 512

_TEXT_KINDS = frozenset({FieldKind.CHARS, FieldKind.TAIL})
_ANY_WIDTH = 0xFFFFFFFF
_IPV4_FAMILIES = (2, 4)  # AF_INET, and the version in an IP header
_MAPPED = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)  # the prefix of IPv4 addresses among IPv6 ones
_PID_AND_TID = 8  # bytes of what bpf_get_current_pid_tgid() returns: the process's id in the upper half


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of extraction; shared by the instances of one edge thread, except for the stacks."""

    texts: Texts
    clock: EpochClock
    stacks: Stacks


class Extractor:
    """Reads the records of one source. Raises BadProgram when a field cannot be read."""

    def __init__(self, source: TableSource, tools: Tools) -> None:
        self.table = source.table
        self._tools = tools
        self._fields = {field.column: field for field in source.fields}
        for column in self.table.columns:
            _check(column, self._fields.get(column.name))
        self._names = {
            column.name: EnumNames(column.values)
            for column in self.table.columns
            if column.type is ColumnType.STRING and column.values
        }
        self._near = max([1, *(_end(field) for field in source.fields if _end(field) <= NEAR_BYTES)])

    def batch(self, records: Records, cpus: Numbers | None = None) -> Batch:
        """Return the rows of `records`. `cpus`: the CPU of each, for a per-CPU map that is read CPU by CPU."""
        near = records.rows(self._near)
        columns: dict[str, Values] = {}
        later: list[Column] = []
        for column in self.table.columns:
            field = self._fields.get(column.name)
            if field is None:
                columns[column.name] = np.full(len(records), self._tools.clock.now_ns, np.int64)
            elif field.kind is FieldKind.STACK:
                later.append(column)  # it may need the column with the process ids
            elif field.kind is FieldKind.CPU:
                numbers = np.zeros(len(records), np.uint32) if cpus is None else cpus
                columns[column.name] = self._converted(numbers, column, field)
            elif field.kind in _TEXT_KINDS:
                columns[column.name] = self._text(records, column, field)
            elif column.type is ColumnType.IP:
                columns[column.name] = _addresses(records, near, field)
            else:
                columns[column.name] = self._fixed(_window(records, near, field), column, field)
        for column in later:
            columns[column.name] = self._frames(_window(records, near, self._fields[column.name]), column, columns)
        self._tools.texts.forget()
        return Batch(self.table, columns, len(records))

    def _text(self, records: Records, column: Column, field: Field) -> Varying:
        end = End.FIELD if column.type is ColumnType.BINARY else End.LAST if field.join else End.NUL
        width = _ANY_WIDTH if field.kind is FieldKind.TAIL else field.size
        values = self._tools.texts.take(records, offset=field.offset, width=width, end=end)
        return _joined(values, field.join.encode()) if field.join else values

    def _fixed(self, window: Bytes, column: Column, field: Field) -> Values:
        match field.kind:
            case FieldKind.BITS:
                return self._converted(_bits(_numbers(window, field), field), column, field)
            case FieldKind.ARRAY:
                return _list(_numbers(window, field), column)
            case FieldKind.BYTES:
                return _bytes(window, column)
            case _:
                return self._converted(_numbers(window, field)[:, 0], column, field)

    def _converted(self, numbers: NDArray[Any], column: Column, field: Field) -> Values:
        """Return a copy of `numbers` in the column's type."""
        if column.name in self._names:
            return self._names[column.name].of(numbers)
        if field.scale != 1:
            numbers = numbers.astype(np.int64) * field.scale
        if column.type is ColumnType.TIMESTAMP:
            return self._tools.clock.to_epoch(numbers, field.clock)
        if column.type is ColumnType.BOOL:
            return numbers != 0
        return numbers.astype(NUMBER_TYPES[column.type])

    def _frames(self, window: Bytes, column: Column, columns: dict[str, Values]) -> Values:
        field = self._fields[column.name]
        pids = columns.get(field.stack_pid) if field.stack_pid else None
        if field.stack_owner or field.stack_setting:
            pids = np.full(len(window), field.stack_owner, np.int32)
        if not (pids is None or isinstance(pids, np.ndarray)):
            raise BadProgram(f"column {field.stack_pid}, which {column.name} takes process ids from, holds no numbers.")
        if pids is not None and pids.dtype.itemsize == _PID_AND_TID:
            pids = np.where(pids >> 32, pids >> 32, pids)
        if field.stack:
            return self._tools.stacks.of_ids(field.stack, _numbers(window, field)[:, 0], pids)
        return self._tools.stacks.of_addresses(np.ascontiguousarray(window).view(np.uint64), pids)


def _size(field: Field) -> int:
    """Return how many bytes of a record the field takes."""
    many = field.kind is FieldKind.ARRAY or (field.kind is FieldKind.STACK and not field.stack)
    return field.size * field.count if many else field.size


def _end(field: Field) -> int:
    return 0 if field.kind in _TEXT_KINDS or field.kind is FieldKind.CPU else field.offset + _size(field)


def _window(records: Records, near: Bytes, field: Field) -> Bytes:
    """Return the bytes of one field of all records, (n, size), with zeros where a record ends earlier."""
    size = _size(field)
    if field.offset + size <= near.shape[1]:
        return near[:, field.offset : field.offset + size]
    sizes = np.maximum(records.sizes - field.offset, 0)
    return Records(records.data, records.offsets + field.offset, sizes, 0).rows(size)


def _dtype(field: Field) -> np.dtype[Any]:
    """Return the numpy type of one number of the field, in the byte order of the record."""
    kind = "f" if field.floating else "i" if field.signed or field.kind is FieldKind.STACK else "u"
    return np.dtype(f"{'>' if field.big_endian else '='}{kind}{field.size}")


def _numbers(window: Bytes, field: Field) -> NDArray[Any]:
    """Return the numbers of the field as a view, (n, count)."""
    return window.view(_dtype(field))


def _bits(numbers: NDArray[Any], field: Field) -> NDArray[Any]:
    bits = numbers[:, 0].astype(np.uint64) >> np.uint64(field.shift) & np.uint64((1 << field.width) - 1)
    if not field.signed:
        return bits
    sign = np.int64(1 << (field.width - 1))
    return (bits.view(np.int64) ^ sign) - sign


def _list(numbers: NDArray[Any], column: Column) -> Varying:
    """Return the (n, count) numbers as lists, copied once; unconverted numbers are copied as whole rows."""
    assert column.item is not None
    rows, count = numbers.shape
    wanted = NUMBER_TYPES[column.item]
    if numbers.dtype == wanted:
        items = numbers.view(f"V{count * wanted.itemsize}").copy().view(wanted)
    else:
        items = numbers.astype(wanted)
    return Varying(np.arange(0, count * (rows + 1), count, dtype=np.int32), items.reshape(-1))


def _addresses(records: Records, near: Bytes, field: Field) -> Bytes:
    """Return 16 bytes a row: IPv6 addresses as they are; IPv4 ones, from the first four bytes, as ::ffff:a.b.c.d."""
    found = _window(records, near, field).copy()
    if not field.family_size:
        return found
    place = Field(column="", kind=FieldKind.SCALAR, offset=field.family_offset, size=field.family_size)
    window = _window(records, near, place)
    small = (window[:, 1:] == 0).all(axis=1) & np.isin(window[:, 0], _IPV4_FAMILIES)
    big_endian = (window[:, :-1] == 0).all(axis=1) & np.isin(window[:, -1], _IPV4_FAMILIES)
    old = (small | big_endian) & ~(found[:, :12] == _MAPPED).all(axis=1)
    found[old, 12:] = found[old, :4]
    found[old, :12] = _MAPPED
    return found


def _bytes(window: Bytes, column: Column) -> Values:
    rows, size = window.shape
    match column.type:
        case ColumnType.IPV6:
            return window.copy()
        case ColumnType.IPV4:
            return window.view(">u4")[:, 0].astype(np.uint32)
        case ColumnType.MAC:
            wide = np.zeros((rows, 8), np.uint8)
            wide[:, 2:] = window
            return wide.view(">u8")[:, 0].astype(np.uint64)
        case _:
            return Varying(np.arange(rows + 1, dtype=np.int32) * np.int32(size), np.array(window).reshape(-1))


def _joined(values: Varying, between: bytes) -> Varying:
    """Return the strings with every NUL replaced by `between`."""
    items = values.items
    assert isinstance(items, np.ndarray)
    nuls = items == 0
    if len(between) == 1:
        items[nuls] = between[0]
        return values
    widths = np.where(nuls, len(between), 1)
    ends = np.concatenate(([0], np.cumsum(widths)))
    joined = np.repeat(items, widths)
    places = ends[:-1][nuls][:, None] + np.arange(len(between))
    joined[places] = np.frombuffer(between, np.uint8)
    return Varying(ends[values.offsets].astype(np.int32), joined)


_BYTES_SIZES = {ColumnType.IPV6: 16, ColumnType.IP: 16, ColumnType.IPV4: 4, ColumnType.MAC: 6}
_VARYING = frozenset({ColumnType.STRING, ColumnType.JSON, ColumnType.BINARY})


def _check(column: Column, field: Field | None) -> None:
    """Raise BadProgram when a field of this kind cannot become a column of this type."""
    if field is None:
        possible = column.name == TIME and column.type is ColumnType.TIMESTAMP
    elif field.kind in _TEXT_KINDS:
        possible = column.type in _VARYING
    elif field.kind is FieldKind.STACK:
        possible = column.type is ColumnType.LIST and column.item is ColumnType.STRING and field.size in {4, 8}
    elif field.kind is FieldKind.BYTES:
        possible = column.type in _VARYING or _BYTES_SIZES.get(column.type) == field.size
    else:
        kind = column.item if field.kind is FieldKind.ARRAY and column.type is ColumnType.LIST else column.type
        sizes = {0, 1, 2, 4, 8} if field.kind is FieldKind.CPU else {1, 2, 4, 8}
        number = kind in NUMBER_TYPES and kind not in {ColumnType.IPV6, ColumnType.IP}
        named = kind is ColumnType.STRING and bool(column.values)
        possible = (number or named) and field.size in sizes
    if not possible:
        found = "no field" if field is None else f"a field of kind {field.kind} and {field.size} bytes"
        raise BadProgram(
            f"Column {column.name} of type {column.type} cannot be read from {found}.",
            hint="Correct its type in the manifest and build the module again.",
        )
