"""The options that choose nodes, and when nothing may be left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quarterdeck.cli.selection import Nodes, Targets, Where, check_reach, in_words
from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import AgentState, Node, Selector

ON_WEB = Selector(roles=("web",))


def fleet(*names: str) -> Any:
    nodes = [
        Node(gid=1, nid=number, name=name, agent_id=name, state=AgentState.ONLINE)
        for number, name in enumerate(names, 1)
    ]
    return SimpleNamespace(nodes=SimpleNamespace(list=lambda *_: nodes))


def test_a_selector_is_all_that_was_given() -> None:
    assert Nodes().selector == Selector()
    assert Nodes(on=("tier=1", "site=n"), role=("web", "db"), node=("a", "1/2"), gid=3).selector == Selector(
        labels={"tier": "1", "site": "n"}, roles=("web", "db"), nodes=("a", "1/2"), gid=3
    )


def test_names_are_those_given_or_those_of_the_nodes_that_match() -> None:
    assert Nodes().names(fleet("a", "b")) == ()
    assert Nodes(node=("a", "9")).names(fleet("a", "b")) == ("a", "9"), "whoever is asked checks them"
    assert Nodes(role=("web",)).names(fleet("a", "b")) == ("1/1", "1/2")
    with pytest.raises(BadInput, match="No node matches"):
        Nodes(role=("web",)).names(fleet())


@pytest.mark.parametrize(
    ("names", "targets", "before", "words"),
    [
        (("a", "b"), Targets(), None, "execs would be on all 2 nodes"),
        (("a",), Targets(), ON_WEB, "execs would spread from role=web to every node"),
        (("a", "b"), Where(), None, "execs would be on all 2 nodes"),
    ],
    ids=["several nodes", "less before", "a schedule"],
)
def test_nothing_stands_on_the_whole_fleet_unless_that_is_asked_for(
    names: tuple[str, ...], targets: Targets, before: Selector | None, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        targets.standing(fleet(*names), what="execs", before=before)
    assert "--all" in caught.value.hint


@pytest.mark.parametrize(
    ("names", "targets", "selector"),
    [
        (("a",), Targets(), Selector()),
        (("a", "b"), Targets(all=True), Selector()),
        (("a", "b"), Targets(role=("web",)), ON_WEB),
        (("a", "b"), Where(any=True), Selector()),
    ],
    ids=["one node", "all", "named", "any"],
)
def test_a_selection_that_was_requested_is_used(names: tuple[str, ...], targets: Targets, selector: Selector) -> None:
    assert targets.standing(fleet(*names), what="execs") == selector


def test_services_without_a_selector_are_all_named_where_they_would_be_everywhere() -> None:
    check_reach(fleet("a", "b"), {})
    with pytest.raises(BadInput, match="db, web would be on all 2 nodes"):
        check_reach(fleet("a", "b"), {"db": None, "web": Selector()})


def test_all_and_any_are_opposites() -> None:
    with pytest.raises(BadInput, match="opposites"):
        Where(all=True, any=True).chosen(fleet("a"))


def test_a_selector_is_said_as_its_options_are_written() -> None:
    assert in_words(Selector()) == "every node"
    assert in_words(Selector(nodes=("a",), roles=("db",), labels={"x": "1"}, gid=2)) == "a role=db x=1 gid 2"
