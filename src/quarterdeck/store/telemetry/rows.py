"""Converts columns that `batches` has checked to what the engine stores.

It works on whole columns; it never loops over rows, and never reads untrusted bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.store.telemetry.addresses import address_texts
from quarterdeck.store.telemetry.batches import Rows, wire_schema
from quarterdeck.store.telemetry.schema import GROUP_COLUMN, TIME_COLUMN

pa: Any = import_module("pyarrow")  # its wheels carry no types
pc: Any = import_module("pyarrow.compute")
_Number = TypeVar("_Number", bound=np.generic)

_HEX_PAIRS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_MAC_BYTES = len("aa:bb:cc:dd:ee:ff")


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several batches of one table in one piece: the engine is slow with small pieces."""
    return pa.concat_tables(parts).combine_chunks()


def times_ns(rows: Rows) -> NDArray[np.int64]:
    """Return the time of each row, in nanoseconds since the epoch."""
    return _viewed(rows.column(TIME_COLUMN), np.int64)


def with_times(rows: Rows, times: NDArray[np.int64]) -> Rows:
    """Return the rows with other times."""
    place = rows.schema.get_field_index(TIME_COLUMN)
    field = rows.schema.field(place)
    return rows.set_column(place, field, _numbers(times, field.type))


def kept(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    """Return the rows for which `mask` is set."""
    return rows.take(_numbers(np.flatnonzero(mask).astype(np.int64), pa.int64()))


def tagged(rows: Rows, *, gids: NDArray[np.uint32], nids: NDArray[np.uint32], group: int) -> Rows:
    """Return the rows with the columns that the server adds: their node, and the insert that writes them."""
    groups = np.full(len(gids), group, np.uint64)
    rows = rows.append_column("gid", _numbers(gids, pa.uint32()))
    rows = rows.append_column("nid", _numbers(nids, pa.uint32()))
    return rows.append_column(GROUP_COLUMN, _numbers(groups, pa.uint64()))


def as_stored(table: Table, rows: Rows, names: Mapping[str, str]) -> Rows:
    """Return the rows in the types that the engine accepts; `names` has the stored name of each column."""
    kinds = {column.name: column for column in table.columns}
    stored = {
        names.get(name, name): _stored(kinds[name], rows.column(name)) if name in kinds else rows.column(name)
        for name in rows.column_names
    }
    return pa.table(stored)


def from_lists(table: Table, columns: Mapping[str, list[Any]]) -> Rows:
    """Return rows that the server makes, such as losses, in the wire schema. Texts and numbers only."""
    schema = wire_schema(table)
    arrays = [
        _texts(columns[name]) if kind == pa.string() else _numbers(np.array(columns[name]), kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _numbers(values: NDArray[Any], kind: Any) -> Any:
    """Return an array of numbers. `pyarrow.array` would import pandas, which costs a second and 50 MB."""
    octets = np.ascontiguousarray(values, f"{kind}" if pa.types.is_integer(kind) else "int64")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(octets)])


def _viewed(values: Any, kind: type[_Number]) -> NDArray[_Number]:
    """Return the numbers of a column without NULLs; `to_numpy` would import pandas."""
    array = values.combine_chunks()
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def _texts(values: list[str]) -> Any:
    """Return an array of texts, made without pandas."""
    encoded = [text.encode() for text in values]
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in encoded]))).astype(np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _stored(column: Column, values: Any) -> Any:
    match column.type:
        case ColumnType.ENUM:
            return _named(column, values)
        case ColumnType.MAC:
            return _mac_texts(values)
        case ColumnType.IP:
            return _address_texts(values)
        case ColumnType.MAP:
            pairs = values.combine_chunks()
            inner = pairs.values  # `flatten` would drop what a slice excludes, and the offsets count it
            return pa.MapArray.from_arrays(pairs.offsets, inner.field("key"), inner.field("value"))
        case _:
            return values


def _named(column: Column, values: Any) -> Any:
    """Return numbers of an enum as its names, by dictionary; a number without a name becomes the number's text."""
    encoded = values.combine_chunks().dictionary_encode()
    numbers = encoded.dictionary.cast(pa.string())
    named = _texts(list(column.values.values())).take(pc.index_in(numbers, value_set=_texts(list(column.values))))
    return pa.DictionaryArray.from_arrays(encoded.indices, pc.coalesce(named, numbers))


def _mac_texts(values: Any) -> Any:
    """Return numbers of 48 bits as aa:bb:cc:dd:ee:ff."""
    numbers = _viewed(values, np.uint64)
    octets = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    texts = np.full((len(numbers), 6, 3), ord(":"), np.uint8)
    texts[:, :, :2] = _HEX_PAIRS[octets]
    joined = np.ascontiguousarray(texts.reshape(-1, 18)[:, :_MAC_BYTES])
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(_MAC_BYTES)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(joined))


def _address_texts(values: Any) -> Any:
    """Return addresses of 16 bytes as text."""
    array = values.combine_chunks()
    octets = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * 16 : (array.offset + len(array)) * 16]
    offsets, texts = address_texts(octets.reshape(-1, 16))
    return pa.StringArray.from_buffers(len(array), pa.py_buffer(offsets), pa.py_buffer(texts))
