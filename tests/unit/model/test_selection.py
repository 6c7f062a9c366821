"""Lists of node names: each name refers to a node, or is in the error."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.errors import Conflict, NoSuchNodes
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.selection import no_such, pick, unknown

NODES = {NodeKey(1, 1): "web-1", NodeKey(1, 2): "web-2", NodeKey(2, 1): "db-1"}


def missing(names: Sequence[str]) -> NoSuchNodes:
    return no_such(names, NODES.values())


@pytest.mark.parametrize(
    ("named", "picked"),
    [
        ((), set(NODES)),
        (("web-1",), {NodeKey(1, 1)}),
        (("1/2", "db-1", "web-2"), {NodeKey(1, 2), NodeKey(2, 1)}),
    ],
)
def test_nodes_are_picked_by_name_nid_or_gid_and_nid(named: tuple[str, ...], picked: set[NodeKey]) -> None:
    assert pick(NODES, named, missing=missing) == picked


def test_a_name_that_may_be_several_nodes_is_an_error_that_names_them() -> None:
    with pytest.raises(Conflict, match=r"'1' may be any of web-1 \(1/1\), db-1 \(2/1\)"):
        pick(NODES, ("web-2", "1"), missing=missing)


@pytest.mark.parametrize("typo", ["web-9", "", "9", "2/2", "WEB-1", "web-1 "])
def test_a_name_of_no_node_is_an_error_that_names_it_whatever_else_is_named(typo: str) -> None:
    with pytest.raises(NoSuchNodes) as caught:
        pick(NODES, ("web-1", typo, "db-1"), missing=missing)
    assert caught.value.message == f"There is no node '{typo}'."


def test_the_error_names_all_that_are_wrong_and_offers_the_nearest() -> None:
    with pytest.raises(NoSuchNodes) as caught:
        pick(NODES, ("web1", "db-1", "xyz", "web1"), missing=missing)
    assert caught.value.message == "There are no nodes 'web1', 'xyz'."
    assert caught.value.hint == "Did you mean web-1 or web-2?"


def test_a_long_list_of_wrong_names_is_cut_with_their_number() -> None:
    assert no_such([f"n{number}" for number in range(14)], ()).message.endswith("'n9' and 4 more.")


@given(st.lists(st.sampled_from(["web-1", "1", "2/1", "nope", "", "3/3"])))
def test_every_unknown_name_is_found(named: list[str]) -> None:
    wrong = {name for name in named if name in {"nope", "", "3/3"}}
    assert set(unknown(NODES.items(), named)) == wrong
