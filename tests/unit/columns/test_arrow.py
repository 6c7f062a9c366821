"""A batch, encoded by the agent and read by the server's pyarrow, is unchanged."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from quarterdeck.columns.arrow import bodies, encode
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Pairs, Values, Varying, lists, strings
from quarterdeck.model.tables import Column, ColumnType, Table


def decoded(*batches: Batch) -> pa.Table:
    body = zstandard.ZstdDecompressor().decompress(encode(*batches))
    table = pa.ipc.open_stream(body).read_all()
    table.validate(full=True)
    return table


def one_column(kind: ColumnType, values: Values, item: ColumnType | None = None) -> tuple[pa.Field, list[Any]]:
    table = Table(name="t", columns=(Column(name="c", type=kind, item=item),))
    found = decoded(Batch(table, {"c": values}, len(values)))
    return found.schema.field("c"), found.column("c").to_pylist()


def test_several_batches_travel_as_one_table() -> None:
    table = Table(name="t", columns=(Column(name="c", type=ColumnType.INT64),))
    found = decoded(*(Batch(table, {"c": np.array(values)}, len(values)) for values in ([1, 2], [3], [4, 5])))
    assert found.column("c").to_pylist() == [1, 2, 3, 4, 5]
    assert found.column("c").num_chunks == 3


@pytest.mark.parametrize("name", [*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])
def test_integers_keep_their_type_and_extremes(name: str) -> None:
    low, high = np.iinfo(name).min, np.iinfo(name).max
    field, values = one_column(ColumnType(name), np.array([low, 0, high], name))
    assert (str(field.type), field.nullable, values) == (name, False, [low, 0, high])


def test_floats_and_bools() -> None:
    assert one_column(ColumnType.FLOAT32, np.array([1.5, -2.0], "f4"))[1] == [1.5, -2.0]
    assert one_column(ColumnType.FLOAT64, np.array([1.1, np.inf]))[1] == [1.1, np.inf]
    bits = np.arange(19) % 3 == 0
    assert one_column(ColumnType.BOOL, bits)[1] == bits.tolist()


def test_times_are_utc_nanoseconds_and_durations_plain_numbers() -> None:
    field, values = one_column(ColumnType.TIMESTAMP, np.array([1_700_000_000_000_000_000]))
    assert field.type == pa.timestamp("ns", "UTC")
    assert values[0].astimezone(dt.UTC) == dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    field, values = one_column(ColumnType.DURATION, np.array([2**40]))
    assert (field.type, values) == (pa.int64(), [2**40])


def test_addresses() -> None:
    assert one_column(ColumnType.IPV4, np.array([0x7F000001], "u4"))[1] == [0x7F000001]
    address = bytes(range(16))
    for kind in (ColumnType.IPV6, ColumnType.IP):
        field, values = one_column(kind, np.frombuffer(address * 2, np.uint8).reshape(2, 16))
        assert (field.type, values) == (pa.binary(16), [address, address])
    assert one_column(ColumnType.MAC, np.array([0x0A0B0C0D0E0F], "u8"))[1] == [0x0A0B0C0D0E0F]


def test_enums_travel_as_int32_whatever_their_size() -> None:
    field, values = one_column(ColumnType.ENUM, np.array([3, 200], np.uint8))
    assert (field.type, values) == (pa.int32(), [3, 200])


def test_strings_and_bytes() -> None:
    assert one_column(ColumnType.STRING, strings(["", "one", "zwölf"]))[1] == ["", "one", "zwölf"]
    assert one_column(ColumnType.JSON, strings(['{"a":1}']))[1] == ['{"a":1}']
    raw = Varying(np.array([0, 2, 2, 3], np.int32), np.array([0xFF, 0, 0x80], np.uint8))
    assert one_column(ColumnType.BINARY, raw)[1] == [b"\xff\0", b"", b"\x80"]


def test_a_bad_string_does_not_cost_the_batch() -> None:
    raw = Varying(np.array([0, 2, 4], np.int32), np.frombuffer(b"ok\xff!", np.uint8))
    assert one_column(ColumnType.STRING, raw)[1] == ["ok", "\ufffd!"]


def test_lists() -> None:
    frames = lists([["main", "read"], [], ["a"]])
    assert one_column(ColumnType.LIST, frames, ColumnType.STRING)[1] == [["main", "read"], [], ["a"]]
    slots = Varying(np.array([0, 2, 4], np.int32), np.arange(4, dtype=np.uint64))
    assert one_column(ColumnType.LIST, slots, ColumnType.UINT64)[1] == [[0, 1], [2, 3]]


def test_maps_are_lists_of_pairs() -> None:
    tags = Varying(np.array([0, 1, 2], np.int32), Pairs(strings(["a", "b"]), np.array([1, 2])))
    assert one_column(ColumnType.MAP, tags, ColumnType.INT64)[1] == [
        [{"key": "a", "value": 1}],
        [{"key": "b", "value": 2}],
    ]


def test_only_the_rows_of_a_cut_are_sent() -> None:
    table = Table(name="t", columns=(Column(name="s", type=ColumnType.STRING), Column(name="n", type=ColumnType.INT64)))
    batch = Batch(table, {"s": strings(["aa", "bbb", "c"]), "n": np.arange(3)}, 3).cut(1, 3)
    assert decoded(batch).to_pylist() == [{"s": "bbb", "n": 1}, {"s": "c", "n": 2}]


def test_no_rows_is_a_batch_too() -> None:
    kinds = {"n": ColumnType.INT32, "s": ColumnType.STRING, "six": ColumnType.IPV6, "b": ColumnType.BOOL}
    table = Table(name="t", columns=tuple(Column(name=name, type=kind) for name, kind in kinds.items()))
    empty: dict[str, Values] = {
        "n": np.zeros(0, "i4"),
        "s": strings([]),
        "six": np.zeros((0, 16), "u1"),
        "b": np.zeros(0, "?"),
    }
    assert decoded(Batch(table, empty, 0)).num_rows == 0


def test_values_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(TypeError, match="expected the values as Varying, found ndarray"):
        one_column(ColumnType.STRING, np.zeros(3))
    with pytest.raises(ValueError, match="needs an item type"):
        one_column(ColumnType.LIST, lists([["a"]]))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_more_than_a_body_takes_goes_into_several(seed: int) -> None:
    random, limit = np.random.default_rng(seed), 2000
    table = Table(
        name="t",
        columns=(Column(name="n", type=ColumnType.INT64), Column(name="s", type=ColumnType.STRING)),
    )
    batches: list[Batch] = []
    for rows in random.integers(0, 200, 8).tolist():
        texts = ["x" * int(random.choice([0, 9, 500, 3000], p=[0.5, 0.4, 0.09, 0.01])) for _ in range(rows)]
        batches.append(Batch(table, {"n": random.integers(0, 99, rows), "s": strings(texts)}, rows))
    expected = decoded(*batches)
    found: list[pa.Table] = []
    for rows, body in bodies(*batches, limit_bytes=limit):
        found.append(pa.ipc.open_stream(zstandard.ZstdDecompressor().decompress(body)).read_all())
        assert found[-1].num_rows == rows
        assert rows == 1 or found[-1].nbytes <= limit
    assert pa.concat_tables(found).equals(expected)
