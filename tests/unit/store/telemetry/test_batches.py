"""A batch's bytes as checked columns: bad bytes are refused before they grow, and all writers' batches become alike."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from quarterdeck.model.errors import BadFrame
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.store.telemetry.batches import RECORD_BATCHES_LIMIT, decode, decompressed_bytes, wire_schema
from quarterdeck.store.telemetry.rows import joined
from tests.telemetry import ALL_TYPES, EXECS, TAGS, TIME, body_of, every_value, execs, packed, tags


def test_a_batch_tells_how_large_it_will_be() -> None:
    assert decompressed_bytes(zstandard.compress(bytes(10**6))) == 10**6
    assert decompressed_bytes(zstandard.compress(bytes(10**6)), limit_bytes=10**5) == 0
    assert decompressed_bytes(b"") == decompressed_bytes(b"rows") == 0
    endless = zstandard.ZstdCompressor(write_content_size=False).compress(b"rows")
    assert decompressed_bytes(endless) == 0


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (pa.table({"time": pa.array([1], pa.timestamp("ns", "UTC"))}), "has the columns"),
        (decode(EXECS, execs(1)).set_column(1, "pid", pa.array([1], pa.int64())), "travels as uint32"),
        (decode(EXECS, execs(1)).set_column(1, "pid", pa.array([None], pa.uint32())), "NULL"),
        (decode(EXECS, execs(1)).set_column(1, "pid", pa.nulls(1)), "travels as uint32"),
        (decode(EXECS, execs(1)).set_column(2, "comm", pa.array(["a"]).dictionary_encode()), "travels as string"),
        (decode(EXECS, execs(1)).set_column(2, "comm", pa.array(["a"], pa.string_view())), "travels as string"),
    ],
)
def test_rows_of_another_shape_are_no_batch(rows: pa.Table, why: str) -> None:
    with pytest.raises(BadFrame, match=why):
        decode(EXECS, packed(rows))


@pytest.mark.parametrize("names", [{"key": "k"}, {"value": "v"}, {"key": "value", "value": "key"}])
def test_members_of_other_names_are_another_type(names: dict[str, str]) -> None:
    with pytest.raises(BadFrame, match="'tags' of table 'tags' travels as"):
        decode(TAGS, packed(tags(key=names.get("key", "key"), value=names.get("value", "value"))))


@pytest.mark.parametrize("options", [{"item": "element"}, {"nullable": True}])
def test_batches_of_any_writer_can_be_joined(options: dict[str, Any]) -> None:
    parts = [decode(TAGS, packed(tags(**options))), decode(TAGS, packed(tags()))]
    assert {part.schema for part in parts} == {wire_schema(TAGS)}
    assert joined(parts)["sizes"].to_pylist() == [[1], [2, 3]] * 2


def test_ours_are_taken_as_they_are() -> None:
    rows = decode(ALL_TYPES, body_of(ALL_TYPES, every_value(3)))
    assert rows.schema == wire_schema(ALL_TYPES)


@pytest.mark.parametrize("column", ["tags", "sizes"])
def test_a_null_within_a_value_is_found(column: str) -> None:
    rows = tags(nullable=True)
    values = {"tags": [[{"key": "k", "value": None}], []], "sizes": [[None], []]}[column]
    at = rows.schema.get_field_index(column)
    with pytest.raises(BadFrame, match="NULL"):
        decode(TAGS, packed(rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))))


def test_offsets_that_point_outside_are_found_before_they_are_followed() -> None:
    offsets, text = pa.py_buffer(np.array([0, 2**30, 3], np.int32)), pa.py_buffer(b"abc")
    bad = pa.StringArray.from_buffers(2, offsets, text)
    with pytest.raises(BadFrame):
        decode(EXECS, packed(decode(EXECS, execs(2)).set_column(2, "comm", bad)))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_buffers_that_are_compressed_once_more_are_refused(codec: str) -> None:
    with pytest.raises(BadFrame, match="compressed too"):
        decode(EXECS, packed(decode(EXECS, execs(1)), compression=codec))


def test_older_formats_are_refused_whose_buffers_say_elsewhere_that_they_are_compressed() -> None:
    with pytest.raises(BadFrame, match="format 5"):
        decode(EXECS, packed(decode(EXECS, execs(1)), metadata_version=pa.ipc.MetadataVersion.V4))


@pytest.mark.parametrize("codec", [None, "zstd"])
def test_a_kilobyte_does_not_become_gigabytes(codec: str | None) -> None:
    """Check sizes that are stated twice: by the frame, and by its buffers."""
    rows = 2**27 if codec else 10**7
    program = (
        "import sys, pyarrow as pa, pytest\nfrom quarterdeck.model.errors import BadFrame\n"
        "from quarterdeck.store.telemetry.batches import decode\nfrom tests.telemetry import EXECS\n"
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))\n"
        "with pytest.raises(BadFrame):\n    decode(EXECS, sys.stdin.buffer.read())\n"
        "status = dict(line.split(':') for line in open('/proc/self/status'))\n"
        "assert int(status['VmHWM'].split()[0]) < 600_000"
    )
    zeros = pa.py_buffer(np.zeros(8 * rows + 8, np.uint8))
    columns = [
        pa.Array.from_buffers(kind, rows, [None, zeros, zeros][: 3 if kind == pa.string() else 2])
        for kind in wire_schema(EXECS).types
    ]
    body = packed(pa.table(columns, schema=wire_schema(EXECS)), compression=codec)
    assert len(body) < 2_000_000
    path = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], input=body, check=True, env=path)


def test_columns_that_share_their_bytes_count_each() -> None:
    """Refuse rows that are small on the link and in memory until they are joined."""
    names = [f"c{index}" for index in range(8)]
    table = Table(name="wide", columns=(TIME, *(Column(name=name, type=ColumnType.BINARY) for name in names)))
    size = 2**17
    columns = [pa.array([1], pa.timestamp("ns", "UTC")), *[pa.array([bytes(size)], pa.binary())] * len(names)]
    stream = zstandard.decompress(packed(pa.table(columns, schema=wire_schema(table))))
    message = pa.ipc.read_message(stream[stream.index(b"\xff\xff\xff\xff", 4) :])
    head, body = message.metadata.to_pybytes(), message.body.to_pybytes()
    places = {8: 8, size: 16}  # of the first column's offsets and bytes, behind the time
    shared = bytearray(head.replace(struct.pack("<q", len(body)), struct.pack("<q", 16 + size)))
    for at in range(0, len(head) - 15, 8):
        place, length = struct.unpack_from("<qq", head, at)
        if length in places and 8 <= place < len(body):
            struct.pack_into("<q", shared, at, places[length])
    crafted = stream.replace(head, bytes(shared)).replace(body, body[: 16 + size])
    assert len(crafted) < 2 * size
    assert decode(table, zstandard.compress(crafted))["c7"].to_pylist() == [bytes(size)]
    with pytest.raises(BadFrame, match="this one takes"):
        decode(table, zstandard.compress(crafted), limit_bytes=4 * size)


def test_a_batch_of_countless_record_batches_is_refused() -> None:
    sink = pa.BufferOutputStream()
    rows = decode(EXECS, execs(1))
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for _ in range(RECORD_BATCHES_LIMIT + 1):
            writer.write_table(rows)
    with pytest.raises(BadFrame, match=f"{RECORD_BATCHES_LIMIT} record batches"):
        decode(EXECS, zstandard.compress(sink.getvalue()))


@pytest.mark.parametrize("cut", [0, 1, 8, 100])
def test_a_stream_that_ends_within_a_message_is_no_batch(cut: int) -> None:
    whole = zstandard.decompress(execs(3))
    with pytest.raises(BadFrame):
        decode(EXECS, zstandard.compress(whole[:cut]))
