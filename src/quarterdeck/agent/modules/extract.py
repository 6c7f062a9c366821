"""Records as columns: each field of all records at once, as `model.Field` says where it lies.

It owns the reading of every FieldKind, vectorised: numbers are strided copies, texts go through `Texts`, stack ids
through `Stacks`. Where a record is shorter than its struct, what is missing is zero or empty. It never decides which
records to read, and every array it returns is a copy: the records may be given back to the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.stacks import Stacks
from quarterdeck.agent.modules.texts import End, Texts
from quarterdeck.bpf.records import Bytes, Records
from quarterdeck.columns.arrow import NUMBER_TYPES
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Numbers, Values, Varying
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.modules import Field, FieldKind, TableSource
from quarterdeck.model.tables import Column, ColumnType

#: Fields that end within so many bytes of a record are taken from one common copy where records differ in length.
NEAR_BYTES = 512
TIME = "time"

_TEXT_KINDS = frozenset({FieldKind.CHARS, FieldKind.TAIL})
_ANY_WIDTH = 0xFFFFFFFF
_PID_AND_TID = 8  # bytes of what bpf_get_current_pid_tgid() returns: the process's id in the upper half


@dataclass(frozen=True, slots=True)
class Tools:
    """What extraction leans on; shared by the instances of one edge thread, but for the stacks."""

    texts: Texts
    clock: EpochClock
    stacks: Stacks


class Extractor:
    """Reads the records of one source. Raises BadProgram when a field is one that cannot be read."""

    def __init__(self, source: TableSource, tools: Tools) -> None:
        self.table = source.table
        self._tools = tools
        self._fields = {field.column: field for field in source.fields}
        for column in self.table.columns:
            _check(column, self._fields.get(column.name))
        self._near = max([1, *(_end(field) for field in source.fields if _end(field) <= NEAR_BYTES)])

    def batch(self, records: Records, cpus: Numbers | None = None) -> Batch:
        """The rows of `records`; `cpus` has the CPU of each, of a per-CPU map read CPU by CPU."""
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

    def _converted(self, numbers: NDArray[Any], column: Column, field: Field) -> Numbers:
        """A copy of `numbers` as the column's type."""
        if field.scale != 1:
            numbers = numbers.astype(np.int64) * field.scale
        if column.type is ColumnType.TIMESTAMP:
            times = self._tools.clock.to_epoch(numbers, field.clock)
            if column.name == TIME and times.size and not times.min():
                times[times == 0] = self._tools.clock.now_ns  # the program left it out; a row of 1970 would be deleted
            return times
        if column.type is ColumnType.BOOL:
            return numbers != 0
        return numbers.astype(NUMBER_TYPES[column.type])

    def _frames(self, window: Bytes, column: Column, columns: dict[str, Values]) -> Values:
        field = self._fields[column.name]
        pids = columns.get(field.stack_pid) if field.stack_pid else None
        if not (pids is None or isinstance(pids, np.ndarray)):
            raise BadProgram(f"column {field.stack_pid}, which {column.name} takes process ids from, holds no numbers.")
        if pids is not None and pids.dtype.itemsize == _PID_AND_TID:
            pids = np.where(pids >> 32, pids >> 32, pids)
        if field.stack:
            return self._tools.stacks.of_ids(field.stack, _numbers(window, field)[:, 0], pids)
        return self._tools.stacks.of_addresses(np.ascontiguousarray(window).view(np.uint64), pids)


def _size(field: Field) -> int:
    """Bytes of a record that the field takes."""
    many = field.kind is FieldKind.ARRAY or (field.kind is FieldKind.STACK and not field.stack)
    return field.size * field.count if many else field.size


def _end(field: Field) -> int:
    return 0 if field.kind in _TEXT_KINDS or field.kind is FieldKind.CPU else field.offset + _size(field)


def _window(records: Records, near: Bytes, field: Field) -> Bytes:
    """The bytes of one field of all records, (n, size), zeros where a record ends before."""
    size = _size(field)
    if field.offset + size <= near.shape[1]:
        return near[:, field.offset : field.offset + size]
    sizes = np.maximum(records.sizes - field.offset, 0)
    return Records(records.data, records.offsets + field.offset, sizes, 0).rows(size)


def _dtype(field: Field) -> np.dtype[Any]:
    """The numpy type of one number of the field, in the byte order it has in the record."""
    kind = "f" if field.floating else "i" if field.signed or field.kind is FieldKind.STACK else "u"
    return np.dtype(f"{'>' if field.big_endian else '='}{kind}{field.size}")


def _numbers(window: Bytes, field: Field) -> NDArray[Any]:
    """(n, count) numbers; a view."""
    return window.view(_dtype(field))


def _bits(numbers: NDArray[Any], field: Field) -> NDArray[Any]:
    bits = numbers[:, 0].astype(np.uint64) >> np.uint64(field.shift) & np.uint64((1 << field.width) - 1)
    if not field.signed:
        return bits
    sign = np.int64(1 << (field.width - 1))
    return (bits.view(np.int64) ^ sign) - sign


def _list(numbers: NDArray[Any], column: Column) -> Varying:
    """The (n, count) numbers as lists; copied once, and where no number changes its type as whole rows."""
    assert column.item is not None
    rows, count = numbers.shape
    wanted = NUMBER_TYPES[column.item]
    if numbers.dtype == wanted:
        items = numbers.view(f"V{count * wanted.itemsize}").copy().view(wanted)
    else:
        items = numbers.astype(wanted)
    return Varying(np.arange(0, count * (rows + 1), count, dtype=np.int32), items.reshape(-1))


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
    """Every NUL in the strings replaced by `between`."""
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


_BYTES_SIZES = {ColumnType.IPV6: 16, ColumnType.IPV4: 4, ColumnType.MAC: 6}
_VARYING = frozenset({ColumnType.STRING, ColumnType.JSON, ColumnType.BINARY})


def _check(column: Column, field: Field | None) -> None:
    """Whether a field of this kind can become a column of this type; BadProgram says what is wrong."""
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
        possible = kind in NUMBER_TYPES and kind is not ColumnType.IPV6 and field.size in sizes
    if not possible:
        found = "no field" if field is None else f"a field of kind {field.kind} and {field.size} bytes"
        raise BadProgram(
            f"Column {column.name} of type {column.type} cannot be read from {found}.",
            hint="Correct its type in the manifest and build the module again.",
        )
