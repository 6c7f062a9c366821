from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from quarterdeck.model.errors import IllegalTransition
from quarterdeck.model.modules import INSTANCE_TRANSITIONS, MODULE_TRANSITIONS, InstanceState, ModuleState
from quarterdeck.model.nodes import AGENT_TRANSITIONS, AgentState
from quarterdeck.model.transitions import Transitions

MACHINES: list[tuple[Transitions[Any], type[StrEnum]]] = [
    (AGENT_TRANSITIONS, AgentState),
    (MODULE_TRANSITIONS, ModuleState),
    (INSTANCE_TRANSITIONS, InstanceState),
]


@pytest.mark.parametrize(("machine", "states"), MACHINES, ids=lambda item: getattr(item, "noun", ""))
def test_a_table_says_of_every_state_what_may_follow(machine: Transitions[Any], states: type[StrEnum]) -> None:
    assert set(machine.table) == set(states)
    assert all(following <= set(states) for following in machine.table.values())


@pytest.mark.parametrize(("machine", "states"), MACHINES, ids=lambda item: getattr(item, "noun", ""))
def test_every_transition_is_allowed_exactly_when_the_table_has_it(
    machine: Transitions[Any], states: type[StrEnum]
) -> None:
    for current in states:
        for wanted in states:
            if current == wanted or wanted in machine.table[current]:
                assert machine.check(current, wanted) is wanted
            else:
                with pytest.raises(IllegalTransition, match=f"{machine.noun} is {current} and cannot become {wanted}"):
                    machine.check(current, wanted)


def test_an_instance_is_never_stuck() -> None:
    assert all(INSTANCE_TRANSITIONS.table.values())


def test_a_final_state_says_that_it_is_final() -> None:
    with pytest.raises(IllegalTransition, match="it can become nothing"):
        AGENT_TRANSITIONS.check(AgentState.TERMINATED, AgentState.ONLINE)


def test_an_illegal_transition_names_what_would_be_legal() -> None:
    with pytest.raises(IllegalTransition, match="it can become DELETED, DEPLOYED"):
        MODULE_TRANSITIONS.check(ModuleState.CREATED, ModuleState.UNDEPLOYED)
