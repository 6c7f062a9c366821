"""Transfers are kept for a limited time, and up to a limited number."""

from __future__ import annotations

from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.files.transfers import LIMIT, SHOWN_S, Transfers
from tests.services import FakeClock


def agent(nid: int) -> AgentIdentity:
    return AgentIdentity(agent_id=f"agent-{nid}", gid=1, nid=nid, serial="1")


def test_what_moved_lately_is_shown_as_it_is_now() -> None:
    clock = FakeClock()
    transfers = Transfers(clock=clock)
    transfers.note(agent(1), "a", at=1, size=9, to_node=True)
    transfers.note(agent(2), "a", at=2, size=9, to_node=False)
    clock.now += SHOWN_S
    transfers.note(agent(1), "a", at=5, size=9, to_node=True)
    assert [(each.nid, each.at) for each in transfers.list()] == [(2, 2), (1, 5)]
    clock.now += 1
    assert [(each.nid, each.at) for each in transfers.list()] == [(1, 5)]


def test_of_too_many_those_that_moved_last_are_shown() -> None:
    transfers = Transfers(clock=FakeClock())
    for nid in (*range(LIMIT), 0, LIMIT):
        transfers.note(agent(nid), "a", at=1, size=9, to_node=True)
    assert [each.nid for each in transfers.list()] == [*range(2, LIMIT), 0, LIMIT]
