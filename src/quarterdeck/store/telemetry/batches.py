"""A batch's bytes as checked columns: the reading side of `columns.arrow`.

Bytes from a node are not trusted. Their decompressed size is known before anything is decompressed, and everything is
checked before a value is read; any error is `BadFrame`. All batches of a table are returned in the same schema, so that
batches of different writers can be joined. It never changes a value.
"""

from __future__ import annotations

import struct
import threading
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeAlias, cast

import zstandard

from quarterdeck.model.errors import BadFrame
from quarterdeck.model.tables import ColumnType, Table

#: decompressed size of a batch; one insert must hold it, and costs the engine ten times as much
LIMIT_BYTES = 64 * 1024 * 1024
#: record batches in a batch: an agent puts thousands of rows into each
RECORD_BATCHES_LIMIT = 4096

pa: Any = import_module("pyarrow")  # its wheels carry no types
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
    ColumnType.IP: pa.binary(16),
    ColumnType.MAC: pa.uint64(),
    ColumnType.ENUM: pa.int32(),
    ColumnType.BINARY: pa.binary(),
}
_own = threading.local()  # a decompressor serves one thread at a time


def decode(table: Table, body: bytes, *, limit_bytes: int = LIMIT_BYTES) -> Rows:
    """Return the rows of a batch, checked against `table`; raise `BadFrame` if wrong, or over `limit_bytes`."""
    try:
        rows = _read(table, pa.ipc.MessageReader.open_stream(_decompressed(body, limit_bytes)))
        if rows.nbytes > limit_bytes:  # columns may share bytes
            raise BadFrame(f"A batch may take {limit_bytes} bytes, this one takes {rows.nbytes}.")
        rows.validate(full=True)
        # a NULL would be stored as zero and so look like a value
        if any(_has_nulls(chunk) for column in rows.columns for chunk in column.chunks):
            raise BadFrame(f"A batch of table '{table.name}' has NULLs.")
        return rows.cast(wire_schema(table))
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError, struct.error) as error:
        raise BadFrame(f"Expected rows of table '{table.name}' as an Arrow stream, found none: {error}.") from error


def decompressed_bytes(body: bytes, *, limit_bytes: int = LIMIT_BYTES) -> int:
    """Return the decompressed size of a batch; 0 for one that `decode` will refuse without looking at its content."""
    try:
        size = zstandard.get_frame_parameters(body).content_size
    except zstandard.ZstdError:
        return 0
    return size if 0 <= size <= limit_bytes else 0


def wire_schema(table: Table) -> Any:
    """Return the schema in which the rows of a table travel."""
    return _wire_schema_of(tuple((column.name, column.type, column.item) for column in table.columns))


def _decompressed(body: bytes, limit_bytes: int) -> Any:
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) or size > limit_bytes:
            raise BadFrame(f"A batch must say its size, at most {limit_bytes} bytes; this one says {size}.")
        return pa.py_buffer(_decompressor().decompress(body))
    except zstandard.ZstdError as error:
        raise BadFrame(f"Expected a zstd frame of {len(body)} bytes, found none: {error}.") from error


def _decompressor() -> zstandard.ZstdDecompressor:
    found = getattr(_own, "decompressor", None)
    if found is None:
        found = _own.decompressor = zstandard.ZstdDecompressor()
    return cast("zstandard.ZstdDecompressor", found)


# ── the stream's messages: a schema, then record batches ─────────────────────────────────────────────────────────────
def _read(table: Table, messages: Any) -> Rows:
    first = _next(messages)
    if first is None or first.type != "schema":
        raise BadFrame("Expected an Arrow stream that begins with its schema, found none.")
    schema = pa.ipc.read_schema(first)
    _check_schema(table, schema)
    batches: list[Any] = []
    while (message := _next(messages)) is not None:
        if message.type != "record batch" or message.metadata_version != pa.ipc.MetadataVersion.V5:
            raise BadFrame(f"Expected record batches of Arrow's format 5, found a {message.type} of another.")
        if _names_codec(message.metadata.to_pybytes()):
            raise BadFrame("Expected plain buffers in a compressed batch, found buffers that are compressed too.")
        if len(batches) == RECORD_BATCHES_LIMIT:
            raise BadFrame(f"A batch may have {RECORD_BATCHES_LIMIT} record batches, this one has more.")
        batches.append(pa.ipc.read_record_batch(message, schema))
    return pa.Table.from_batches(batches, schema)


def _next(messages: Any) -> Any:
    try:
        return messages.read_next_message()
    except StopIteration:
        return None


def _names_codec(metadata: bytes) -> bool:
    """Return whether a record batch declares compressed buffers, whose decompressed size cannot be known.

    Field numbers in the flatbuffer are those of Arrow's Message.fbs: Message.header is 2, RecordBatch.compression 3.
    """
    message = struct.unpack_from("<I", metadata)[0]
    header = _field(metadata, message, 2)
    return bool(_field(metadata, header + struct.unpack_from("<I", metadata, header)[0], 3))


def _field(data: bytes, table: int, index: int) -> int:
    """Return the offset of field `index` in the flatbuffer's `table`; 0 when it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size, at = struct.unpack_from("<H", data, vtable)[0], 4 + 2 * index
    offset = struct.unpack_from("<H", data, vtable + at)[0] if at < size else 0
    return table + offset if offset else 0


# ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@lru_cache(maxsize=1024)
def _wire_schema_of(columns: tuple[tuple[str, ColumnType, ColumnType | None], ...]) -> Any:
    return pa.schema([pa.field(name, _wire_type(kind, item), nullable=False) for name, kind, item in columns])


def _wire_type(kind: ColumnType, item: ColumnType | None) -> Any:
    if kind is ColumnType.LIST:
        return pa.list_(_wire_item("item", item))
    if kind is ColumnType.MAP:
        entry = [pa.field("key", pa.string(), nullable=False), _wire_item("value", item)]
        return pa.list_(pa.field("item", pa.struct(entry), nullable=False))
    return _PLAIN.get(kind, pa.string())


def _wire_item(name: str, item: ColumnType | None) -> Any:
    return pa.field(name, _wire_type(cast("ColumnType", item), None), nullable=False)


def _check_schema(table: Table, found: Any) -> None:
    wanted = wire_schema(table)
    if found.names != wanted.names:
        raise BadFrame(f"Table '{table.name}' has the columns {wanted.names}, the batch {found.names}.")
    for name, expected, actual in zip(wanted.names, wanted.types, found.types, strict=True):
        if not _same_type(expected, actual):
            raise BadFrame(f"Column '{name}' of table '{table.name}' travels as {expected}, the batch has {actual}.")


def _same_type(expected: Any, actual: Any) -> bool:
    """Return whether types are equal except for the names of list items and nullability, in which writers differ."""
    if pa.types.is_list(expected):
        return pa.types.is_list(actual) and _same_type(expected.value_type, actual.value_type)
    if pa.types.is_struct(expected):
        if not pa.types.is_struct(actual) or [field.name for field in actual] != [field.name for field in expected]:
            return False
        return all(_same_type(expected[i].type, actual[i].type) for i in range(expected.num_fields))
    return expected == actual


def _has_nulls(array: Any) -> bool:
    """Return whether a value at any depth is NULL."""
    if array.null_count:
        return True
    if pa.types.is_list(array.type):
        return _has_nulls(array.values)
    if pa.types.is_struct(array.type):
        return any(_has_nulls(array.field(index)) for index in range(array.type.num_fields))
    return False
