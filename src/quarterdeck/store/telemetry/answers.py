"""Cuts answers of the engine after the allowed number of rows, without reading values one by one.

An answer may be large: it is scanned in pieces, and its values are never decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quarterdeck.model.queries import AnswerColumn

pa: Any = import_module("pyarrow")  # its wheels carry no types
_QUOTE, _LINE_END = ord('"'), ord("\n")
#: what is scanned at a time
PIECE_BYTES = 1024 * 1024
#: the engine's layout of JSONCompact; no value contains an unescaped line end
_DATA, _DATA_END, _NEXT_ROW = b'\n\t"data":\n\t[\n', b"\n\t],\n", b",\n\t\t["


class _Statistics(msgspec.Struct):
    elapsed: float
    rows_read: int


class _Head(msgspec.Struct):
    meta: tuple[AnswerColumn, ...]


class _Foot(msgspec.Struct):
    rows: int
    statistics: _Statistics


class JsonRows(NamedTuple):
    """An answer in JSONCompact, in parts. `rows` is the text between the brackets of the list of rows."""

    columns: tuple[AnswerColumn, ...]
    rows: memoryview
    elapsed_s: float
    rows_read: int
    truncated: bool


class CutRows(NamedTuple):
    """An answer in another format, as the engine wrote it."""

    body: memoryview
    truncated: bool


def cut_json(body: bytes, rows: int) -> JsonRows:
    """Return the answer with its first `rows` rows; it has at most one more."""
    start = body.index(_DATA) + len(_DATA)
    end = body.index(_DATA_END, start - 1)
    head = msgspec.json.decode(body[: start - len(_DATA)].rstrip().rstrip(b",") + b"}", type=_Head)
    foot = msgspec.json.decode(b"{" + body[end + len(_DATA_END) :], type=_Foot)
    truncated = foot.rows > rows
    if truncated:
        end = max(start, body.rfind(_NEXT_ROW, start, end))
    return JsonRows(
        columns=head.meta,
        rows=memoryview(body)[start : max(start, end)],
        elapsed_s=foot.statistics.elapsed,
        rows_read=foot.statistics.rows_read,
        truncated=truncated,
    )


def cut_csv(body: bytes, rows: int) -> CutRows:
    """Return the header and the first `rows` rows, and whether there were more. Quotes are doubled (RFC 4180)."""
    wanted = rows + 1  # and the header
    for place, ends in _row_ends(np.frombuffer(body, np.uint8)):
        if wanted <= len(ends):
            cut = place + int(ends[wanted - 1]) + 1
            return CutRows(memoryview(body)[:cut], cut < len(body))
        wanted -= len(ends)
    return CutRows(memoryview(body), truncated=False)


def _row_ends(octets: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield the offset of each piece, and the offsets in it where rows end."""
    quoted = 0
    for place in range(0, len(octets), PIECE_BYTES):
        piece = octets[place : place + PIECE_BYTES]
        quotes = (np.cumsum(piece == _QUOTE, dtype=np.uint8) + np.uint8(quoted)) & 1
        yield place, np.flatnonzero((piece == _LINE_END) & (quotes == 0))
        quoted = int(quotes[-1])


def cut_arrow(body: bytes, rows: int) -> CutRows:
    """Return the stream with its first `rows` rows, and whether there were more."""
    if sum(batch.num_rows for batch in pa.ipc.open_stream(body)) <= rows:
        return CutRows(memoryview(body), truncated=False)
    sink = pa.BufferOutputStream()
    found = pa.ipc.open_stream(body)
    with pa.ipc.new_stream(sink, found.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        for batch in found:
            writer.write_batch(batch[:rows])
            rows -= min(rows, batch.num_rows)
            if not rows:
                break
    return CutRows(memoryview(sink.getvalue()), truncated=True)
