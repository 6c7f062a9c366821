"""Cutting answers to the wanted rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quarterdeck.store.telemetry.answers import cut_arrow, cut_csv

CSV = b'"a"\n"x ""\n"" y"\n2\n"3,\n"\n'


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (0, (b'"a"\n', True)),
        (1, (b'"a"\n"x ""\n"" y"\n', True)),
        (2, (CSV[:-6], True)),
        (3, (CSV, False)),
        (9, (CSV, False)),
    ],
)
def test_csv_is_cut_between_rows_and_not_within_quotes(rows: int, expected: tuple[bytes, bool]) -> None:
    assert cut_csv(CSV, rows) == expected


@pytest.mark.parametrize(("rows", "expected"), [(0, [[], True]), (2, [[0, 1], True]), (3, [[0, 1, 2], False])])
def test_an_arrow_stream_keeps_its_schema(rows: int, expected: list[object]) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("n", pa.uint8())])) as writer:
        writer.write_table(pa.table({"n": pa.array([0, 1, 2], pa.uint8())}))
    body, truncated = cut_arrow(sink.getvalue().to_pybytes(), rows)
    assert [pa.ipc.open_stream(body).read_all()["n"].to_pylist(), truncated] == expected
