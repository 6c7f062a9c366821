"""Cutting answers to the wanted rows."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from quarterdeck.store.telemetry.answers import PIECE_BYTES, cut_arrow, cut_csv, cut_json

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
    assert tuple(cut_csv(CSV, rows)) == expected


@pytest.mark.parametrize("place", range(1, len(CSV)))
def test_quotes_are_followed_from_piece_to_piece(place: int) -> None:
    """The second piece begins at `place` of what is behind a long name of the column."""
    more = b"a" * (PIECE_BYTES - place)
    body, size = CSV.replace(b"a", b"a" + more), len(more)
    found = [bytes(cut_csv(body, rows).body) for rows in range(4)]
    assert found == [body[: size + 4], body[: size + 16], body[:-6], body]


def in_json(rows: list[str], more: str = "") -> bytes:
    """Return rows in the engine's layout."""
    return (
        '{\n\t"meta":\n\t[\n\t\t{\n\t\t\t"name": "a",\n\t\t\t"type": "String"\n\t\t}\n\t],\n\n\t"data":\n\t[\n'
        + ",\n".join(f"\t\t[{row}]" for row in rows)
        + f'\n\t],\n{more}\n\t"rows": {len(rows)},\n\n\t"rows_before_limit_at_least": 9,\n'
        + '\n\t"statistics":\n\t{\n\t\t"elapsed": 0.5,\n\t\t"rows_read": 7\n\t}\n}\n'
    ).encode()


@pytest.mark.parametrize("more", ["", '\n\t"totals": [0],\n'])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_json_is_cut_between_rows_and_keeps_them_as_they_are(count: int, more: str) -> None:
    rows = [json.dumps(text) for text in ('],\n\t"rows": 5', '"data":\n[\n', "x")][:count]
    found = cut_json(in_json(rows, more), 2)
    assert json.loads(b"[" + bytes(found.rows) + b"]") == [[json.loads(row)] for row in rows[:2]]
    assert (found.truncated, found.elapsed_s, found.rows_read) == (count > 2, 0.5, 7)
    assert [(column.name, column.type) for column in found.columns] == [("a", "String")]


@pytest.mark.parametrize(("rows", "expected"), [(0, [[], True]), (2, [[0, 1], True]), (3, [[0, 1, 2], False])])
def test_an_arrow_stream_keeps_its_schema(rows: int, expected: list[object]) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("n", pa.uint8())])) as writer:
        writer.write_table(pa.table({"n": pa.array([0, 1, 2], pa.uint8())}))
    body, truncated = cut_arrow(sink.getvalue().to_pybytes(), rows)
    assert [pa.ipc.open_stream(body).read_all()["n"].to_pylist(), truncated] == expected
