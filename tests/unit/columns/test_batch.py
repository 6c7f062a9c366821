"""Batches match their table, are collected in order, and are cut without a copy."""

from __future__ import annotations

import numpy as np
import pytest

from quarterdeck.columns.batch import SMALL_ROWS, Batch, Pile
from quarterdeck.columns.values import Pairs, Values, Varying, cut, join, lists, repeat, size_bytes, strings, take
from quarterdeck.model.tables import Column, ColumnType, Table

TABLE = Table(
    name="t",
    columns=(
        Column(name="n", type=ColumnType.INT64),
        Column(name="s", type=ColumnType.STRING),
        Column(name="l", type=ColumnType.LIST, item=ColumnType.STRING),
    ),
)


def batch(*numbers: int) -> Batch:
    texts = [f"row {number}" for number in numbers]
    columns: dict[str, Values] = {"n": np.array(numbers), "s": strings(texts), "l": lists([texts[:1]] * len(texts))}
    return Batch(TABLE, columns, len(numbers))


def texts_of(values: Values) -> list[str]:
    assert isinstance(values, Varying)
    items = np.asarray(values.items).tobytes()
    return [items[a:b].decode() for a, b in zip(values.offsets[:-1], values.offsets[1:], strict=True)]


def test_a_batch_that_does_not_fit_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="column s of table t has 1 of 2 rows"):
        Batch(TABLE, {"n": np.zeros(2), "s": strings(["a"]), "l": lists([[], []])}, 2)
    with pytest.raises(ValueError, match="has the columns"):
        Batch(TABLE, {"n": np.zeros(2)}, 2)


def test_a_pile_gives_the_rows_in_the_order_they_came() -> None:
    pile = Pile(TABLE)
    for part in (batch(1, 2), batch(), batch(3, 4, 5).cut(1, 3), batch(6)):
        pile.add(part)
    assert pile.rows == 5
    assert pile.size_bytes > 5 * 8
    (whole,) = pile.take()
    assert np.asarray(whole.columns["n"]).tolist() == [1, 2, 4, 5, 6]
    assert texts_of(whole.columns["s"]) == ["row 1", "row 2", "row 4", "row 5", "row 6"]
    frames = whole.columns["l"]
    assert isinstance(frames, Varying)
    assert texts_of(frames.items) == ["row 1", "row 1", "row 3", "row 3", "row 6"]
    assert (pile.rows, pile.size_bytes, pile.take()) == (0, 0, [])


def test_a_pile_puts_only_small_batches_together() -> None:
    pile = Pile(TABLE)
    sizes = [3, SMALL_ROWS, 2, SMALL_ROWS + 5, 1]
    for size in sizes:
        pile.add(batch(*range(size)))
    assert [taken.rows for taken in pile.take()] == [SMALL_ROWS + 3, SMALL_ROWS + 7, 1]


def test_maps_are_cut_and_joined_like_lists() -> None:
    pairs = Pairs(strings(["a", "b", "c"]), np.arange(3))
    maps = Varying(np.array([0, 1, 3], np.int32), pairs)
    joined = join([cut(maps, 1, 2), maps])
    assert isinstance(joined, Varying)
    assert joined.offsets.tolist() == [0, 2, 3, 5]
    assert isinstance(joined.items, Pairs)
    assert texts_of(joined.items.keys) == ["b", "c", "a", "b", "c"]
    assert size_bytes(joined) > 5 * 8


def test_repeat_gives_the_same_text_on_every_row() -> None:
    assert texts_of(repeat(b"ab", 3)) == ["ab"] * 3
    assert texts_of(repeat(b"ab", 0)) == []


def test_rows_are_taken_in_any_order_and_more_than_once() -> None:
    rows = np.array([2, 0, 0])
    assert texts_of(take(strings(["a", "", "ccc"]), rows)) == ["ccc", "a", "a"]
    frames = take(lists([["main", "read"], [], ["idle"]]), rows)
    assert isinstance(frames, Varying)
    assert frames.offsets.tolist() == [0, 1, 3, 5]
    assert texts_of(frames.items) == ["idle", "main", "read", "main", "read"]
    assert texts_of(take(strings(["a"]), np.zeros(0, np.intp))) == []
