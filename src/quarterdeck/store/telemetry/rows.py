"""Rows on their way in: a batch's bytes become checked columns, and columns become what the engine stores.

It owns the reading side of `columns.arrow`: bytes from a node are foreign, so everything is checked before a value is
touched, and whatever is wrong is `BadFrame`. Whole columns at a time; nothing here loops over rows.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import zstandard
from numpy.typing import NDArray

from quarterdeck.model.errors import BadFrame
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.store.telemetry.schema import GROUP_COLUMN, TIME_COLUMN

#: a batch may not grow beyond this when decompressed
DECOMPRESSED_LIMIT_BYTES = 256 * 1024 * 1024

pa: Any = import_module("pyarrow")  # its wheels carry no types
_Number = TypeVar("_Number", bound=np.generic)
#: a `pyarrow.Table`
Rows: TypeAlias = Any

_PLAIN: dict[ColumnType, Any] = {
    ColumnType.BOOL: pa.bool_(),
    ColumnType.INT8: pa.int8(),
    ColumnType.INT16: pa.int16(),
    ColumnType.INT32: pa.int32(),
    ColumnType.INT64: pa.int64(),
    ColumnType.UINT8: pa.uint8(),
    ColumnType.UINT16: pa.uint16(),
    ColumnType.UINT32: pa.uint32(),
    ColumnType.UINT64: pa.uint64(),
    ColumnType.FLOAT32: pa.float32(),
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.TIMESTAMP: pa.timestamp("ns", "UTC"),
    ColumnType.DURATION: pa.int64(),
    ColumnType.IPV4: pa.uint32(),
    ColumnType.IPV6: pa.binary(16),
    ColumnType.MAC: pa.uint64(),
    ColumnType.ENUM: pa.int32(),
    ColumnType.BINARY: pa.binary(),
}
_HEX_PAIRS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_MAC_BYTES = len("aa:bb:cc:dd:ee:ff")
_own = threading.local()  # a decompressor serves one thread at a time


def decode(table: Table, body: bytes) -> Rows:
    """The rows of a batch as they travelled, checked against `table`; `BadFrame` for anything else."""
    try:
        rows = pa.ipc.open_stream(_decompressed(body)).read_all()
        _check_schema(table, rows.schema)
        rows.validate(full=True)
        # a NULL would be stored as zero and so look like a value
        if any(column.null_count for column in rows.columns):
            raise BadFrame(f"A batch of table '{table.name}' has NULLs.")
    except (pa.ArrowException, OSError, MemoryError, OverflowError, UnicodeDecodeError) as error:
        raise BadFrame(f"Expected rows of table '{table.name}' as an Arrow stream, found none: {error}.") from error
    return rows


def decompressed_bytes(body: bytes) -> int:
    """What a batch takes when it is decompressed; 0 of one that `decode` will refuse unseen."""
    try:
        size = zstandard.get_frame_parameters(body).content_size
    except zstandard.ZstdError:
        return 0
    return size if 0 <= size <= DECOMPRESSED_LIMIT_BYTES else 0


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several batches of one table, in order, in one piece: the engine is slow with many small ones."""
    return pa.concat_tables(parts).combine_chunks()


def times_ns(rows: Rows) -> NDArray[np.int64]:
    """The time of each row, in nanoseconds since the epoch."""
    return _viewed(rows.column(TIME_COLUMN), np.int64)


def kept(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    """The rows for which `mask` holds."""
    return rows.take(_numbers(np.flatnonzero(mask).astype(np.int64), pa.int64()))


def tagged(rows: Rows, *, gids: NDArray[np.uint32], nids: NDArray[np.uint32], group: int) -> Rows:
    """The rows with the columns that the server adds: whose they are, and which insert writes them."""
    groups = np.full(len(gids), group, np.uint64)
    rows = rows.append_column("gid", _numbers(gids, pa.uint32()))
    rows = rows.append_column("nid", _numbers(nids, pa.uint32()))
    return rows.append_column(GROUP_COLUMN, _numbers(groups, pa.uint64()))


def as_stored(table: Table, rows: Rows, names: Mapping[str, str]) -> Rows:
    """The rows in the types the engine takes for them; `names` says what each column is called there."""
    kinds = {column.name: column for column in table.columns}
    stored = {
        names.get(name, name): _stored(kinds[name], rows.column(name)) if name in kinds else rows.column(name)
        for name in rows.column_names
    }
    return pa.table(stored)


def from_lists(table: Table, columns: Mapping[str, list[Any]]) -> Rows:
    """Rows the server makes itself, such as losses, in the shape in which an agent's travel. Texts and numbers only."""
    schema = _wire_schema(table)
    arrays = [
        _texts(columns[name]) if kind == pa.string() else _numbers(np.array(columns[name]), kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _numbers(values: NDArray[Any], kind: Any) -> Any:
    """An array around numbers. `pyarrow.array` would import pandas, which costs a second and 50 MB."""
    octets = np.ascontiguousarray(values, f"{kind}" if pa.types.is_integer(kind) else "int64")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(octets)])


def _viewed(values: Any, kind: type[_Number]) -> NDArray[_Number]:
    """The numbers of a column without NULLs; `to_numpy` would import pandas."""
    array = values.combine_chunks()
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def _texts(values: list[str]) -> Any:
    """An array of texts, made without pandas."""
    encoded = [text.encode() for text in values]
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in encoded]))).astype(np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _decompressed(body: bytes) -> Any:
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) or size > DECOMPRESSED_LIMIT_BYTES:
            raise BadFrame(
                f"A batch must say its size, at most {DECOMPRESSED_LIMIT_BYTES} bytes; this one says {size}."
            )
        return pa.py_buffer(_decompressor().decompress(body))
    except zstandard.ZstdError as error:
        raise BadFrame(f"Expected a zstd frame of {len(body)} bytes, found none: {error}.") from error


def _decompressor() -> zstandard.ZstdDecompressor:
    found = getattr(_own, "decompressor", None)
    if found is None:
        found = _own.decompressor = zstandard.ZstdDecompressor()
    return cast("zstandard.ZstdDecompressor", found)


@lru_cache(maxsize=1024)
def _wire_schema_of(columns: tuple[tuple[str, ColumnType, ColumnType | None], ...]) -> Any:
    return pa.schema([(name, _wire_type(kind, item)) for name, kind, item in columns])


def _wire_schema(table: Table) -> Any:
    return _wire_schema_of(tuple((column.name, column.type, column.item) for column in table.columns))


def _wire_type(kind: ColumnType, item: ColumnType | None) -> Any:
    if kind is ColumnType.LIST:
        return pa.list_(_wire_type(cast("ColumnType", item), None))
    if kind is ColumnType.MAP:
        return pa.list_(pa.struct([("key", pa.string()), ("value", _wire_type(cast("ColumnType", item), None))]))
    return _PLAIN.get(kind, pa.string())


def _check_schema(table: Table, found: Any) -> None:
    wanted = _wire_schema(table)
    if found.names != wanted.names:
        raise BadFrame(f"Table '{table.name}' has the columns {wanted.names}, the batch {found.names}.")
    for name, expected, actual in zip(wanted.names, wanted.types, found.types, strict=True):
        if not _same_type(expected, actual):
            raise BadFrame(f"Column '{name}' of table '{table.name}' travels as {expected}, the batch has {actual}.")


def _same_type(expected: Any, actual: Any) -> bool:
    """Equality but for the names of list items and for nullability, in which writers differ."""
    if pa.types.is_list(expected):
        return pa.types.is_list(actual) and _same_type(expected.value_type, actual.value_type)
    if pa.types.is_struct(expected):
        if not pa.types.is_struct(actual) or actual.num_fields != expected.num_fields:
            return False
        return all(_same_type(expected[i].type, actual[i].type) for i in range(expected.num_fields))
    return expected == actual


def _stored(column: Column, values: Any) -> Any:
    match column.type:
        case ColumnType.ENUM:
            return _named(column, values)
        case ColumnType.MAC:
            return _mac_texts(values)
        case ColumnType.MAP:
            pairs = values.combine_chunks()
            inner = pairs.flatten()
            return pa.MapArray.from_arrays(pairs.offsets, inner.field("key"), inner.field("value"))
        case _:
            return values


def _named(column: Column, values: Any) -> Any:
    """Numbers of an enum as its names, by dictionary; a number without a name becomes the number's text."""
    encoded = values.combine_chunks().dictionary_encode()
    texts = [column.values.get(str(number), str(number)) for number in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, _texts(texts))


def _mac_texts(values: Any) -> Any:
    """Numbers of 48 bits as aa:bb:cc:dd:ee:ff."""
    numbers = _viewed(values, np.uint64)
    octets = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    texts = np.full((len(numbers), 6, 3), ord(":"), np.uint8)
    texts[:, :, :2] = _HEX_PAIRS[octets]
    joined = np.ascontiguousarray(texts.reshape(-1, 18)[:, :_MAC_BYTES])
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(_MAC_BYTES)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(joined))
