from __future__ import annotations

import pytest

from quarterdeck.model.nodes import NodeKey, Selector

LABELS = {"role": "web", "site": "north"}


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        (Selector(), True),
        (Selector(labels={"role": "web"}), True),
        (Selector(labels={"role": "web", "site": "north"}), True),
        (Selector(labels={"role": "web", "site": "south"}), False),
        (Selector(labels={"role": ""}), False),
        (Selector(labels={"rack": "4"}), False),
        (Selector(nodes=("web-1",)), True),
        (Selector(nodes=("7",)), True),
        (Selector(nodes=("1/7",)), True),
        (Selector(nodes=("2/7",)), False),
        (Selector(nodes=("web",)), False),
        (Selector(nodes=("web-2", "web-1")), True),
        (Selector(gid=1), True),
        (Selector(gid=2), False),
        (Selector(gid=0), False),
        (Selector(gid=1, nodes=("web-1",), labels={"role": "db"}), False),
    ],
    ids=str,
)
def test_all_given_parts_must_hold(selector: Selector, meant: bool) -> None:
    assert selector.matches(NodeKey(1, 7), name="web-1", labels=LABELS) is meant
