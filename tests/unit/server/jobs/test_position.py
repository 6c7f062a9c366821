"""Tokens of a stream of output: they survive a round trip, and other texts are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.jobs.position import Position

_numbers = st.integers(0, (1 << 63) - 1)
_keys = st.builds(NodeKey, st.integers(0, 1 << 31), st.integers(0, 1 << 31))
_cursors = st.one_of(st.just(""), st.integers(0, (1 << 62)).map(str))


@given(_numbers, st.dictionaries(_keys, _cursors))
def test_a_token_says_the_same_when_it_is_read(change: int, nodes: dict[NodeKey, str]) -> None:
    position = Position(change, nodes)
    token = str(position)
    assert Position.parse(token) == position
    assert token.isascii()
    assert token.isprintable()


def test_a_thousand_nodes_fit_in_a_header() -> None:
    position = Position(10**9, {NodeKey(1, nid): str(10**6 + nid) for nid in range(1, 1001)})
    assert len(str(position)) < 8 * 1024


@pytest.mark.parametrize(
    "bad", ["x", "-1", "1.!", "1.AA", "1.gICAgICAgICAgICAgICA", "1.gAEA", "9" * 30, "1." + "A" * 200_000]
)
def test_what_is_no_token_is_refused(bad: str) -> None:
    with pytest.raises(BadInput, match="id of an event"):
        Position.parse(bad)


@given(st.text(max_size=60))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    try:
        Position.parse(text)
    except BadInput:
        return
