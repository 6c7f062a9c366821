"""A batch's bytes as checked columns, and columns as the engine takes them; never by way of pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from quarterdeck.model.errors import BadFrame
from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.store.telemetry.rows import (
    as_stored,
    decode,
    decompressed_bytes,
    from_lists,
    joined,
    kept,
    tagged,
    times_ns,
)
from tests.telemetry import ALL_TYPES, EXECS, body_of, every_value, execs


def packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return zstandard.ZstdCompressor().compress(sink.getvalue())


def test_rows_keep_their_values_on_the_way() -> None:
    rows = joined([decode(EXECS, execs(2, time_ns=50)), decode(EXECS, execs(3, first=2, time_ns=60))])
    assert rows["pid"].to_pylist() == [0, 1, 2, 3, 4]
    assert times_ns(rows).tolist() == [50, 51, 60, 61, 62]
    assert kept(rows, times_ns(rows) > 50)["pid"].to_pylist() == [1, 2, 3, 4]
    ids = np.arange(5, dtype=np.uint32)
    marked = tagged(rows, gids=ids, nids=ids * 2, group=2**63)
    assert [marked[name].to_pylist()[1] for name in ("gid", "nid", "_group")] == [1, 2, 2**63]


def test_types_the_engine_has_no_arrow_for_become_such() -> None:
    rows = as_stored(ALL_TYPES, decode(ALL_TYPES, body_of(ALL_TYPES, every_value(3))), {"c_int8": "c_int8__int8"})
    assert rows["c_enum"].to_pylist() == ["ONE", "MINUS_TWO", "9"]
    assert rows["c_mac"].to_pylist() == ["0a:0b:0c:0d:0e:0f"] * 3
    assert rows["c_map"].to_pylist()[2] == [("t2", 2)]
    assert "c_int8__int8" in rows.column_names


def test_a_batch_tells_how_large_it_will_be() -> None:
    assert decompressed_bytes(zstandard.compress(bytes(10**6))) == 10**6
    assert decompressed_bytes(b"") == decompressed_bytes(b"rows") == 0
    endless = zstandard.ZstdCompressor(write_content_size=False).compress(b"rows")
    assert decompressed_bytes(endless) == 0


def test_a_slice_is_read_where_it_begins() -> None:
    rows = decode(EXECS, execs(10, time_ns=0)).slice(4, 2)
    assert times_ns(rows).tolist() == [4, 5]


def test_rows_the_server_makes() -> None:
    columns = {"time": [1, 2], "module": ["", "é"], "table": ["a", "b"], "reason": ["x", "y"], "rows": [1, 2**63 - 1]}
    rows = from_lists(LOSSES_TABLE, {**columns, "detail": ["", "d"]})
    rows.validate(full=True)
    assert rows["module"].to_pylist() == ["", "é"]
    assert rows["rows"].to_pylist() == [1, 2**63 - 1]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (pa.table({"time": pa.array([1], pa.timestamp("ns", "UTC"))}), "has the columns"),
        (decode(EXECS, execs(1)).set_column(1, "pid", pa.array([1], pa.int64())), "travels as uint32"),
        (decode(EXECS, execs(1)).set_column(1, "pid", pa.array([None], pa.uint32())), "NULL"),
    ],
)
def test_rows_of_another_shape_are_no_batch(rows: pa.Table, why: str) -> None:
    with pytest.raises(BadFrame, match=why):
        decode(EXECS, packed(rows))


def test_offsets_that_point_outside_are_found_before_they_are_followed() -> None:
    offsets, text = pa.py_buffer(np.array([0, 2**30, 3], np.int32)), pa.py_buffer(b"abc")
    bad = pa.StringArray.from_buffers(2, offsets, text)
    with pytest.raises(BadFrame):
        decode(EXECS, packed(decode(EXECS, execs(2)).set_column(2, "comm", bad)))


def test_pandas_is_not_imported() -> None:
    """It would cost the first batch a second, and the server 50 MB for ever."""
    program = (
        "import sys\nimport numpy as np\n"
        "from quarterdeck.store.telemetry.rows import *\nfrom tests.telemetry import *\n"
        "rows = joined([decode(ALL_TYPES, body_of(ALL_TYPES, every_value()))])\n"
        "ids = np.ones(2, np.uint32)\n"
        "tagged(as_stored(ALL_TYPES, kept(rows, times_ns(rows) > 0), {}), gids=ids, nids=ids, group=1)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
