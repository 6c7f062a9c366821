from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.errors import BadInput
from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.model.tables import Column, ColumnType, Table, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("10m", 600),
        ("1h30m", 5400),
        ("3d", 259_200),
        ("1w", 604_800),
        ("1y", 31_536_000),
        (" 2s ", 2),
        ("0s", 0),
    ],
)
def test_durations_are_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "s", "1 s", "-1s", "1.s", "1h 30m", "1h30", "five seconds", "1S", "1h,1m"]
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadInput, match="is not a duration") as caught:
        parse_duration(text)
    assert "12h" in caught.value.hint


@given(st.text(max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert parse_duration(text) >= 0


COLUMN = Column(name="pid", type=ColumnType.UINT32)


def test_a_fingerprint_changes_with_the_shape_and_with_nothing_else() -> None:
    table = Table(name="t", columns=(COLUMN,))
    described = Column(name="pid", type=ColumnType.UINT32, description="process id", unit="")
    same = Table(name="t", columns=(described,), retention_s=1, description="other", order=("pid",))
    assert same.fingerprint == table.fingerprint
    others = [
        Table(name="u", columns=(COLUMN,)),
        Table(name="t", columns=(msgspec.structs.replace(COLUMN, name="tid"),)),
        Table(name="t", columns=(msgspec.structs.replace(COLUMN, type=ColumnType.UINT64),)),
        Table(name="t", columns=(COLUMN, msgspec.structs.replace(COLUMN, name="tid"))),
        Table(name="t", columns=(msgspec.structs.replace(COLUMN, type=ColumnType.ENUM, values={"0": "A"}),)),
    ]
    assert len({table.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1


def test_the_order_of_enum_values_does_not_matter() -> None:
    one = Column(name="kind", type=ColumnType.ENUM, values={"0": "A", "1": "B"})
    two = Column(name="kind", type=ColumnType.ENUM, values={"1": "B", "0": "A"})
    assert Table(name="t", columns=(one,)).fingerprint == Table(name="t", columns=(two,)).fingerprint


def test_a_column_is_found_by_its_name() -> None:
    assert LOSSES_TABLE.column("reason") is not None
    assert LOSSES_TABLE.column("nothing") is None


def test_a_newer_peers_column_may_have_keys_we_do_not_know() -> None:
    frame = msgspec.msgpack.encode({"name": "pid", "type": "uint32", "colour": "blue"})
    assert msgspec.msgpack.decode(frame, type=Column) == COLUMN
