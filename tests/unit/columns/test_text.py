"""Strings become valid UTF-8, with the same rows as from a naive decoder."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.columns.text import valid_utf8
from quarterdeck.columns.values import Varying


def column(rows: list[bytes], *, before: bytes = b"") -> Varying:
    offsets = np.cumsum([len(before), *map(len, rows)]).astype(np.int32)
    return Varying(offsets, np.frombuffer(before + b"".join(rows) + b"\xff", np.uint8))


def rows_of(values: Varying) -> list[bytes]:
    items = np.asarray(values.items).tobytes()
    return [items[start:stop] for start, stop in zip(values.offsets[:-1], values.offsets[1:], strict=True)]


def test_valid_text_is_passed_through_untouched() -> None:
    for rows in ([b"a", b"", b"bc"], ["ä€😀".encode(), b"x"], []):
        values = column(rows)
        assert valid_utf8(values) is values


def test_a_character_cut_in_two_by_a_row_boundary_is_two_bad_rows() -> None:
    euro = "€".encode()
    assert rows_of(valid_utf8(column([euro[:1], euro[1:], b"ok"]))) == ["�".encode(), "��".encode(), b"ok"]


PIECES = st.sampled_from(
    [b"\n", b"\0", b"a", b"\xff", b"\xc3", b"\xa9", "é€😀".encode(), b"\xe2\x82", b"\xed\xa0\x80", b"\xf5"]
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a loaded machine generates slowly
@given(st.lists(st.lists(PIECES, max_size=5).map(b"".join), max_size=8), st.binary(max_size=3))
def test_every_row_is_repaired_as_if_it_were_alone(rows: list[bytes], before: bytes) -> None:
    naive = [row.decode("utf-8", "replace").encode() for row in rows]
    assert rows_of(valid_utf8(column(rows, before=before))) == naive
