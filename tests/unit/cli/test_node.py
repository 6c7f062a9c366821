"""`qd node`: nodes and labels on one command line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from quarterdeck.cli.node import labelling
from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import AgentState, Node
from tests.unit.cli.conftest import CallQd


@pytest.mark.parametrize(
    ("words", "names", "changes"),
    [
        (("web-1", "role=web", "rack-"), ("web-1",), {"role": "web", "rack": None}),
        (("site=north", "web-1", "1/2"), ("web-1", "1/2"), {"site": "north"}),
    ],
)
def test_nodes_and_labels_stand_in_any_order(
    words: tuple[str, ...], names: tuple[str, ...], changes: dict[str, str | None]
) -> None:
    assert labelling(words) == (names, changes)


class Server:
    """A node that acts on revision 5 at the second look."""

    def __init__(self) -> None:
        self._looks = iter([3, 3, 5, 5])
        self.nodes = SimpleNamespace(sync=lambda _: self.node(3), list=lambda: [self.node(next(self._looks))])

    def node(self, acted: int) -> Node:
        return Node(gid=1, nid=1, name="web-1", agent_id="", state=AgentState.ONLINE, revision=5, acted_revision=acted)


def test_sync_waits_until_the_agent_has_acted_on_the_set(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_qd(Server(), "node", "sync", "web-1", "--wait") == 0
    assert call_qd(Server(), "node", "sync", "web-1", "--wait", "--timeout", "0s") == 7
    out, err = capsys.readouterr()
    assert out == "web-1 gets the desired set of this server (revision 5).\n" * 2
    assert "The desired set is still on its way after 0s: web-1." in err


@pytest.mark.parametrize(
    ("words", "missing"), [((), "no node"), (("role=web",), "no node"), (("web-1",), "no label"), (("a", "=b"), "=b")]
)
def test_what_is_missing_is_said(words: tuple[str, ...], missing: str) -> None:
    with pytest.raises(BadInput, match=missing):
        labelling(words)
