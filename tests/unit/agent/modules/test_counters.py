"""Each counter is judged separately: growing ones, restarted ones, and values that go up and down."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quarterdeck.agent.modules.entries import Deltas, Entries, fold_cpus
from quarterdeck.model.modules import Field, FieldKind, TableSource
from quarterdeck.model.tables import Table

CODES = {"Q": (8, False), "I": (4, False), "q": (8, True), "i": (4, True)}


class Map:
    """A map whose value is some numbers, each taken for a counter, and what its readings gave."""

    def __init__(self, code: str, *, lasting: bool = False, stated: bool = False, per_cpu: str = "sum") -> None:
        self.format = struct.Struct(f"<{code}")
        fields: list[Field] = []
        for name, letter in zip("abcdef", code, strict=False):
            size, signed = CODES[letter]
            offset = 4 + sum(field.size for field in fields)
            fields.append(
                Field(
                    column=name,
                    kind=FieldKind.SCALAR,
                    offset=offset,
                    size=size,
                    signed=signed,
                    additive=True,
                    stated=stated,
                )
            )
        self.source = TableSource(
            table=Table(name="t", columns=()),
            maps=("m",),
            record_size=4 + self.format.size,
            key_size=4,
            fields=tuple(fields),
            per_cpu=per_cpu,
        )
        self.notices: list[str] = []
        self.deltas = Deltas(self.source, lasting=lasting, notice=self.notices.append)

    def entries(self, rows: Sequence[tuple[int, ...]]) -> Entries:
        keys = np.arange(len(rows), dtype=np.uint32)[:, None].view(np.uint8)
        packed = b"".join(self.format.pack(*row) for row in rows)
        return Entries(keys, np.frombuffer(packed, np.uint8).reshape(len(rows), self.format.size).copy())

    def read(self, *rows: tuple[int, ...]) -> list[tuple[Any, ...]]:
        """Return the rows of a reading of these values (of keys 0, 1, …)."""
        found = self.deltas.take(self.entries(rows))
        return [self.format.unpack(value.tobytes()) for value in found.values]

    def readings(self, *values: tuple[int, ...]) -> list[tuple[Any, ...]]:
        """Return the rows for one key, reading after reading."""
        return [row for value in values for row in self.read(value)]


def test_a_position_that_goes_up_and_down_leaves_the_calls_beside_it_alone() -> None:
    found = Map("QQ")
    rows = found.readings((1, 500), (3, 100), (4, 900), (6, 2), (6, 1), (8, 700))
    assert [calls for calls, _ in rows] == [1, 2, 1, 2, 0, 2]
    assert [position for _, position in rows[1:]] == [100, 900, 2, 1, 700]
    (notice,) = found.notices
    assert "'b' of table 't'" in notice
    assert "gauge" in notice


def test_large_positions_are_not_taken_for_races() -> None:
    found = Map("QQ")
    rows = found.readings((10, 900_000_000), (20, 800_000_000), (30, 850_000_000))
    assert rows == [(10, 900_000_000), (10, 800_000_000), (10, 850_000_000)]


def test_several_gauges_beside_a_counter_are_all_found() -> None:
    found = Map("QIQ")
    rows = found.readings((100, 7, 50), (200, 3, 60), (300, 9, 20), (400, 8, 30))
    assert [row[0] for row in rows] == [100] * 4
    assert rows[2:] == [(100, 9, 20), (100, 8, 30)]
    assert len(found.notices) == 2


@pytest.mark.parametrize("code", ["q", "i", "qQ", "Q", "I"])
def test_a_number_that_falls_by_itself_where_nothing_is_made_anew_is_a_gauge(code: str) -> None:
    found = Map(code, lasting=True)
    values = [(value, 5)[: len(code)] for value in (100, 40, 70, 20, 30, 0, 10)]
    assert [row[0] for row in found.readings(*values)][1:] == [40, 70, 20, 30, 0, 10]
    assert len(found.notices) == 1


@pytest.mark.parametrize("code", ["q", "i", "qQ"])
def test_a_signed_number_that_falls_below_zero_or_a_little_is_a_gauge(code: str) -> None:
    found = Map(code)
    values = [(value, 5)[: len(code)] for value in (100, 90, 95, 40, 70, -3, 10)]
    assert [row[0] for row in found.readings(*values)][1:] == [90, 95, 40, 70, -3, 10]
    assert len(found.notices) == 1


def test_a_number_below_zero_is_no_counter_whatever_its_type() -> None:
    found = Map("Q")
    assert found.readings((3,), (2**64 - 1,), (1,)) == [(3,), (2**64 - 1,), (1,)]
    assert len(found.notices) == 1


def test_entries_that_are_made_anew_count_from_zero_and_stay_counters() -> None:
    found = Map("QQ")
    found.read(*[(100 + key, 9000) for key in range(50)])
    anew = found.read(*[(1, 60) if key % 2 else (200 + key, 9100) for key in range(50)])
    assert anew == [(1, 60) if key % 2 else (100, 100) for key in range(50)]
    # Among many, one number that got further than before its restart is not evidence.
    found.read(*[(1, 60) if key % 2 else (250 + key, 9200) for key in range(50)])
    mixed = found.read(*[(2, 40) if key == 1 else (1, 70) if key % 2 else (2, 9) for key in range(50)])
    assert mixed == [(1, 40) if key == 1 else (0, 10) if key % 2 else (2, 9) for key in range(50)]
    assert not found.notices
    assert found.read(*[(3, 100)] * 50)[0] == (1, 91)


def test_a_single_number_that_keeps_dipping_is_a_gauge_in_time() -> None:
    found = Map("Q")
    assert found.readings(*((value,) for value in (10, 9, 8, 9, 7, 6, 7, 9)))[-3:] == [(6,), (7,), (9,)]
    assert len(found.notices) == 1


def test_in_an_array_the_first_dip_shows_it() -> None:
    found = Map("Q", lasting=True)
    assert found.readings((10,), (9,), (12,)) == [(10,), (9,), (12,)]
    assert len(found.notices) == 1


def test_a_program_may_set_its_own_counters_to_zero() -> None:
    found = Map("QQ", lasting=True)
    assert found.readings((100, 400), (3, 10), (5, 30), (0, 0), (7, 7)) == [
        (100, 400),
        (3, 10),
        (2, 20),
        (0, 0),
        (7, 7),
    ]
    assert not found.notices


def test_small_numbers_may_run_over_their_end() -> None:
    found = Map("IQ", lasting=True)
    assert found.readings((2**32 - 10, 1), (5, 2)) == [(2**32 - 10, 1), (15, 1)]
    assert not found.notices


def test_what_the_manifest_states_stands() -> None:
    found = Map("QQ", stated=True)
    assert found.readings((1, 500), (3, 100), (4, 900)) == [(1, 500), (2, 100), (1, 800)]
    assert not found.notices


def test_gauges_of_cpus_are_not_added_up() -> None:
    found = Map("QQ")
    keys = np.zeros((1, 4), np.uint8)

    def read(*cpus: tuple[int, int]) -> tuple[Any, ...]:
        values = found.entries(cpus).values[None]
        (row,) = found.deltas.take(fold_cpus(keys, values, found.source, found.deltas.gauges)).values
        return found.format.unpack(row.tobytes())

    read((1, 500), (1, 900))
    read((2, 100), (2, 300))
    assert read((3, 700), (3, 200)) == (2, 700)


def test_a_large_number_that_goes_up_and_down_a_little_is_no_series_of_races() -> None:
    found = Map("QQ")
    values = [10**9 + (-1) ** step * 1000 * step for step in range(20)]
    rows = found.readings(*((step, value) for step, value in enumerate(values, 1)))
    assert [row[1] for row in rows[12:]] == values[12:]
    assert [row[0] for row in rows] == [1] * 20
    assert len(found.notices) == 1


def test_a_signed_counter_of_entries_that_are_made_anew_stays_one() -> None:
    found = Map("i")
    found.read(*[(1000,)] * 50)
    assert found.read(*[(3,) if key % 2 else (1010,) for key in range(50)])[:2] == [(10,), (3,)]
    assert found.read(*[(5,) if key % 2 else (1010,) for key in range(50)])[0] == (2,)
    assert not found.notices
