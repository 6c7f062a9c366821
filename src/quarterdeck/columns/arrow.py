"""Batches as bytes: a zstd-compressed Arrow IPC stream, with one record batch for each batch.

It owns the Arrow type of each column type of `model.tables`, which is a contract with every server that reads it:

    bool            bool                       ipv4    uint32, host order
    int…, uint…     the same                   ipv6    fixed_size_binary(16)
    float…          the same                   ip      the same, IPv4 as ::ffff:a.b.c.d
    string, json    string, valid UTF-8        mac     uint64, first octet highest
    binary          binary                     enum    int32
    timestamp_ns    timestamp[ns, UTC]         list    list<item>
    duration_ns     int64                      map     list<struct<key: string, value: item>>

No column is nullable. This module writes with nanoarrow and never imports pyarrow.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

import nanoarrow
import numpy as np
import zstandard
from nanoarrow.c_array_stream import CArrayStream  # pyright: ignore[reportUnknownVariableType]
from nanoarrow.ipc import StreamWriter
from numpy.typing import NDArray

from quarterdeck.columns.batch import Batch
from quarterdeck.columns.text import valid_utf8
from quarterdeck.columns.values import Numbers, Pairs, Values, Varying, cut
from quarterdeck.model.tables import ColumnType

COMPRESSION_LEVEL = 1
#: most bytes of values in one body: far below the limit of a message, and below what the smallest server inserts
BODY_BYTES = 8 * 1024 * 1024

#: numpy type in a batch of the types whose values are one number a row (16 bytes for ipv6 and ip)
NUMBER_TYPES: dict[ColumnType, np.dtype[Any]] = {
    ColumnType.BOOL: np.dtype("bool"),
    ColumnType.INT8: np.dtype("int8"),
    ColumnType.INT16: np.dtype("int16"),
    ColumnType.INT32: np.dtype("int32"),
    ColumnType.INT64: np.dtype("int64"),
    ColumnType.UINT8: np.dtype("uint8"),
    ColumnType.UINT16: np.dtype("uint16"),
    ColumnType.UINT32: np.dtype("uint32"),
    ColumnType.UINT64: np.dtype("uint64"),
    ColumnType.FLOAT32: np.dtype("float32"),
    ColumnType.FLOAT64: np.dtype("float64"),
    ColumnType.TIMESTAMP: np.dtype("int64"),
    ColumnType.DURATION: np.dtype("int64"),
    ColumnType.IPV4: np.dtype("uint32"),
    ColumnType.IPV6: np.dtype("uint8"),
    ColumnType.IP: np.dtype("uint8"),
    ColumnType.MAC: np.dtype("uint64"),
    ColumnType.ENUM: np.dtype("int32"),
}
_TEXTS = frozenset({ColumnType.STRING, ColumnType.JSON})

_T = TypeVar("_T")
_Kind = tuple[ColumnType, ColumnType | None]  # a type, and the type of its items for a list or map

_arrow = cast("Any", nanoarrow)  # its wheels contain no types
_stream = cast("Any", CArrayStream)
_writer = cast("Any", StreamWriter)
_own = threading.local()  # a compressor can be used by only one thread at a time


def encode(*batches: Batch) -> bytes:
    """Return one or more batches of one table as a compressed stream.

    Numbers are converted to the type of their column.
    """
    kinds = {column.name: (column.type, column.item) for column in batches[0].table.columns}
    schema = _schema(tuple(kinds.items()))
    arrays = [_rows(schema, kinds, batch) for batch in batches]
    stream = io.BytesIO()
    with _writer.from_writable(stream) as writer:
        writer.serialize_stream(_stream.from_c_arrays(arrays, schema, validate=False))
    return _compressor().compress(stream.getbuffer())


def bodies(*batches: Batch, limit_bytes: int = BODY_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield the rows and encoded bytes of batches of one table, in bodies of at most about `limit_bytes`."""
    waiting: list[Batch] = []
    size = 0
    for batch in batches:
        for piece in batch.pieces(limit_bytes):
            if waiting and size + piece.size_bytes > limit_bytes:
                yield sum(each.rows for each in waiting), encode(*waiting)
                waiting, size = [], 0
            waiting.append(piece)
            size += piece.size_bytes
    if waiting:
        yield sum(each.rows for each in waiting), encode(*waiting)


def _rows(schema: Any, kinds: Mapping[str, _Kind], batch: Batch) -> Any:
    children = [
        _array(schema.child(index), kind, batch.columns[name]) for index, (name, kind) in enumerate(kinds.items())
    ]
    return _build(schema, batch.rows, [None], children)


def _compressor() -> zstandard.ZstdCompressor:
    found = getattr(_own, "compressor", None)
    if found is None:
        found = _own.compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
    return found


@lru_cache(maxsize=256)
def _schema(kinds: tuple[tuple[str, _Kind], ...]) -> Any:
    return _arrow.c_schema(_arrow.struct({name: _type(kind) for name, kind in kinds}, nullable=False))


def _type(kind: _Kind) -> Any:
    match kind[0]:
        case ColumnType.LIST:
            return _arrow.list_(_type(_item(kind)), nullable=False)
        case ColumnType.MAP:
            entry = {"key": _arrow.string(nullable=False), "value": _type(_item(kind))}
            return _arrow.list_(_arrow.struct(entry, nullable=False), nullable=False)
        case ColumnType.TIMESTAMP:
            return _arrow.timestamp("ns", "UTC", nullable=False)
        case ColumnType.IPV6 | ColumnType.IP:
            return _arrow.fixed_size_binary(16, nullable=False)
        case number if number in NUMBER_TYPES:
            name = NUMBER_TYPES[number].name
            return getattr(_arrow, "bool_" if name == "bool" else name)(nullable=False)
        case text:
            return getattr(_arrow, "string" if text in _TEXTS else "binary")(nullable=False)


def _item(kind: _Kind) -> _Kind:
    if kind[1] in (None, ColumnType.LIST, ColumnType.MAP):
        raise ValueError(f"a {kind[0]} column needs an item type that is neither list nor map, found {kind[1]}")
    return kind[1], None


def _build(schema: Any, length: int, buffers: list[Any], children: list[Any]) -> Any:
    """Return an Arrow array that uses the buffers without a copy and keeps them alive."""
    return _arrow.c_array_from_buffers(
        schema, length, buffers, null_count=0, children=children, validation_level="none", move=True
    )


def _array(schema: Any, kind: _Kind, values: Values) -> Any:
    """Return the Arrow array of one column, or of the items of one."""
    if kind[0] in NUMBER_TYPES:
        return _numbers(schema, kind[0], _expect(np.ndarray, values))
    varying = _expect(Varying, values)
    if kind[0] in _TEXTS:
        varying = valid_utf8(varying)
    offsets, items = _from_zero(varying)
    if kind[0] is ColumnType.LIST:
        return _build(schema, len(varying), [None, offsets], [_array(schema.child(0), _item(kind), items)])
    if kind[0] is ColumnType.MAP:
        pairs = _pairs(schema.child(0), _item(kind), _expect(Pairs, items))
        return _build(schema, len(varying), [None, offsets], [pairs])
    return _build(schema, len(varying), [None, offsets, np.ascontiguousarray(items, np.uint8)], [])


def _pairs(schema: Any, item: _Kind, pairs: Pairs) -> Any:
    keys = _array(schema.child(0), (ColumnType.STRING, None), pairs.keys)
    return _build(schema, len(pairs), [None], [keys, _array(schema.child(1), item, pairs.values)])


def _numbers(schema: Any, kind: ColumnType, values: Numbers) -> Any:
    converted = np.ascontiguousarray(values, NUMBER_TYPES[kind])
    if kind is ColumnType.BOOL:
        converted = np.packbits(converted, bitorder="little")
    return _build(schema, len(values), [None, converted], [])


def _from_zero(values: Varying) -> tuple[NDArray[np.int32], Values]:
    """Return offsets that begin at 0, and only the items they refer to, because IPC writes whole buffers."""
    first, last = int(values.offsets[0]), int(values.offsets[-1])
    offsets = values.offsets if first == 0 else values.offsets - first
    return np.ascontiguousarray(offsets, np.int32), cut(values.items, first, last)


def _expect(kind: type[_T], values: Values) -> _T:
    if not isinstance(values, kind):
        raise TypeError(f"expected the values as {kind.__name__}, found {type(values).__name__}")
    return values
