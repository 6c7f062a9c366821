"""Tokens come back as they were written; anything else is bad input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.messages import cursors as tokens
from quarterdeck.server.messages.cursors import Reached
from quarterdeck.store.telemetry.messages import RowPlace

number = st.integers(0, 2**32 - 1)
reached = st.builds(
    Reached,
    newest_first=st.booleans(),
    since_ms=st.integers(-(2**40), 2**50),
    nodes=st.lists(st.tuples(number, number, st.integers(0, 2**59 - 1))).map(tuple),
    table=st.none() | st.builds(RowPlace, st.integers(-(2**53), 2**53), number, number, number),
)


@given(place=reached)
def test_a_token_says_what_was_written(place: Reached) -> None:
    assert tokens.read(tokens.write(place)) == place


def test_a_token_of_many_nodes_is_short_enough_to_be_passed_around() -> None:
    token = tokens.write(Reached(False, 2**41, tuple((1, nid, 2**40) for nid in range(500)), None))
    assert len(token) < 16 * 1024
    assert tokens.read(token).cursors[NodeKey(1, 7)] == str(2**40)


@given(text=st.text() | st.binary().map(lambda body: body.hex()) | reached.map(tokens.write).map(lambda t: t[:-1]))
def test_any_text_is_a_token_or_bad_input(text: str) -> None:
    try:
        place = tokens.read(text)
    except BadInput:
        return
    assert tokens.read(tokens.write(place)) == place


@pytest.mark.parametrize(
    "place",
    [
        Reached(False, 1, ((1, 1, -1),)),
        Reached(False, 1, ((1, 1, 2**60),)),
        Reached(False, 1, ((-1, 1, 1),)),
        Reached(False, 1, (), RowPlace(2**62, 1, 1, 1)),
        Reached(False, 1, (), RowPlace(1, 2**32, 1, 1)),
        Reached(False, 2**62, ()),
    ],
)
def test_numbers_that_no_cursor_has_are_bad_input(place: Reached) -> None:
    with pytest.raises(BadInput, match="is not a cursor"):
        tokens.read(tokens.write(place))
