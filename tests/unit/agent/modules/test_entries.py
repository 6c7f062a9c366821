"""Deltas, folds and key look-ups are what plain dictionaries would give."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.agent.modules.counters import SMALL_COUNT
from quarterdeck.agent.modules.entries import Deltas, Entries, KeyIndex, chunks, fold_cpus
from quarterdeck.model.modules import Field, FieldKind, TableSource
from quarterdeck.model.tables import Table

VALUE = struct.Struct("<QiI")  # count (a counter), last (a gauge), slots of 2 × u16 (counters)


def source(*, key_size: int = 4, per_cpu: str = "sum") -> TableSource:
    fields = (
        Field(column="key", kind=FieldKind.SCALAR, offset=0, size=key_size),
        Field(column="count", kind=FieldKind.SCALAR, offset=key_size, size=8, additive=True),
        Field(column="last", kind=FieldKind.SCALAR, offset=key_size + 8, size=4, signed=True),
        Field(column="slots", kind=FieldKind.ARRAY, offset=key_size + 12, size=2, count=2, additive=True),
    )
    table = Table(name="t", columns=())
    return TableSource(
        table=table, maps=("m",), record_size=key_size + VALUE.size, key_size=key_size, fields=fields, per_cpu=per_cpu
    )


def entries(found: dict[bytes, tuple[int, int, int, int]]) -> Entries:
    keys = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), -1) if found else np.zeros((0, 4), np.uint8)
    values = b"".join(VALUE.pack(count, last, a | b << 16) for count, last, a, b in found.values())
    return Entries(keys, np.frombuffer(values, np.uint8).reshape(len(found), VALUE.size).copy())


def plain(found: Entries) -> dict[bytes, tuple[int, int, int, int]]:
    result: dict[bytes, tuple[int, int, int, int]] = {}
    for key, value in zip(found.keys, found.values, strict=True):
        count, last, slots = VALUE.unpack(value.tobytes())
        result[key.tobytes()] = (count, last, slots & 0xFFFF, slots >> 16)
    return result


def key(number: int, size: int = 4) -> bytes:
    return number.to_bytes(size, "little")


READING = st.dictionaries(
    st.integers(0, 12), st.tuples(st.integers(0, 5000), st.integers(-9, 9), st.integers(0, 50), st.integers(0, 50))
)


@given(st.lists(READING, max_size=6), st.sampled_from([4, 8, 12, 20]))
def test_growing_counters_give_their_differences(steps: list[dict[int, Any]], size: int) -> None:
    deltas = Deltas(source(key_size=size))
    state: dict[bytes, tuple[int, int, int, int]] = {}
    for step in steps:
        before = dict(state)
        for number, (count, last, a, b) in step.items():
            old = state.get(key(number, size), (0, 0, 0, 0))
            state[key(number, size)] = (old[0] + count, last, old[2] + a, old[3] + b)
        expected = {
            each: (now[0] - old[0], now[1], now[2] - old[2], now[3] - old[3])
            for each, now in state.items()
            if now != (old := before.get(each, (0, 0, 0, 0)))
        }
        shuffled = dict(sorted(state.items(), key=lambda item: hash((item[0], len(step)))))
        assert plain(deltas.take(entries(shuffled))) == expected


def test_an_entry_that_was_made_anew_counts_from_zero() -> None:
    deltas = Deltas(source())
    deltas.take(entries({key(1): (500, 0, 7, 7), key(2): (10**6, 0, 0, 0), key(3): (5, 0, 0, 0)}))
    found = deltas.take(entries({key(1): (3, 0, 1, 1), key(2): (20, 0, 0, 0), key(3): (9, 0, 0, 0)}))
    assert plain(found) == {key(1): (3, 0, 1, 1), key(2): (20, 0, 0, 0), key(3): (4, 0, 0, 0)}


def test_an_entry_that_was_gone_comes_back_whole() -> None:
    deltas = Deltas(source())
    deltas.take(entries({key(1): (5, 0, 0, 0)}))
    assert plain(deltas.take(entries({}))) == {}
    assert plain(deltas.take(entries({key(1): (7, 0, 0, 0)}))) == {key(1): (7, 0, 0, 0)}


def test_a_small_step_back_of_a_large_counter_is_a_race_and_not_a_reset() -> None:
    large = 1000 * SMALL_COUNT
    deltas = Deltas(source())
    deltas.take(entries({key(1): (large, 0, 0, 0), key(2): (1, 0, 0, 0)}))
    found = deltas.take(entries({key(1): (large - 5, 1, 0, 0), key(2): (2, 0, 0, 0)}))
    assert plain(found) == {key(1): (0, 1, 0, 0), key(2): (1, 0, 0, 0)}
    assert plain(deltas.take(entries({key(1): (large + 3, 1, 0, 0), key(2): (2, 0, 0, 0)}))) == {key(1): (3, 1, 0, 0)}


def test_entries_of_zeros_only_make_no_rows() -> None:
    assert plain(Deltas(source()).take(entries({key(1): (0, 0, 0, 0), key(2): (0, 0, 1, 0)}))) == {key(2): (0, 0, 1, 0)}


def per_cpu(*cpus: tuple[int, int, int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    packed = b"".join(VALUE.pack(count, last, a | b << 16) for count, last, a, b in cpus)
    return np.frombuffer(packed, np.uint8).reshape(1, len(cpus), VALUE.size)


@pytest.mark.parametrize(("how", "expected"), [("sum", (15, 3, 6, 1)), ("max", (10, 3, 4, 1))])
def test_cpus_are_folded(how: str, expected: tuple[int, int, int, int]) -> None:
    values = per_cpu((0, 0, 0, 0), (5, -7, 2, 1), (10, 3, 4, 0))
    keys = np.frombuffer(key(9), np.uint8).reshape(1, 4)
    assert plain(fold_cpus(keys, values, source(per_cpu=how))) == {key(9): expected}


def test_each_cpu_keeps_its_own_counters() -> None:
    keys = np.frombuffer(key(9), np.uint8).reshape(1, 4)
    deltas = Deltas(source(per_cpu="each"))
    deltas.take(fold_cpus(keys, per_cpu((1, 0, 0, 0), (100, 0, 0, 0)), source(per_cpu="each")))
    found = deltas.take(fold_cpus(keys, per_cpu((4, 0, 0, 0), (100, 0, 0, 0)), source(per_cpu="each")))
    assert plain(found) == {key(9): (3, 0, 0, 0)}
    assert found.cpus is not None
    assert found.cpus.tolist() == [0]


@given(st.lists(st.binary(min_size=11, max_size=11), unique=True), st.lists(st.binary(min_size=11, max_size=11)))
def test_keys_are_found_where_they_are(known: list[bytes], strange: list[bytes]) -> None:
    def matrix(keys: list[bytes]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 11)

    wanted = strange + known[::-1]
    places = KeyIndex(matrix(known)).find(matrix(wanted)).tolist()
    assert places == [known.index(each) if each in known else -1 for each in wanted]


def test_two_keys_of_one_hash_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quarterdeck.agent.modules.entries._hashes", lambda keys: np.zeros(len(keys), np.uint64))
    keys = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert KeyIndex(keys).find(keys[::-1].copy()).tolist() == [2, 1, 0]
    assert KeyIndex(keys).find(np.full((1, 4), 99, np.uint8)).tolist() == [-1]


def test_chunks_cover_everything() -> None:
    assert list(chunks(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(chunks(0, 4)) == []
