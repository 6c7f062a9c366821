"""states.md: the states of agents, modules and instances, and the allowed transitions."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from quarterdeck.model.modules import INSTANCE_TRANSITIONS, MODULE_TRANSITIONS, InstanceState, ModuleState
from quarterdeck.model.nodes import AGENT_TRANSITIONS, AgentState
from quarterdeck.model.services import SERVICE_TRANSITIONS, ServiceState
from quarterdeck.model.transitions import Transitions
from tools.reference.markdown import code, summary, table

_MACHINES: tuple[tuple[type[StrEnum], Transitions[Any]], ...] = (
    (AgentState, AGENT_TRANSITIONS),
    (ModuleState, MODULE_TRANSITIONS),
    (InstanceState, INSTANCE_TRANSITIONS),
    (ServiceState, SERVICE_TRANSITIONS),
)


def page() -> str:
    """Return the page."""
    parts = ["# States\n\nA transition that is not in these tables is rejected with the error `illegal_transition`.\n"]
    for states, machine in _MACHINES:
        rows = [
            (
                code(state),
                ", ".join(code(after) for after in states if after in machine.table[state]) or "nothing: final",
            )
            for state in states
        ]
        parts += [
            f"## {machine.noun[0].upper()}{machine.noun[1:]}\n\n{summary(states)}\n",
            table(("state", "may become"), rows),
        ]
    return "\n".join(parts)
