"""What the state of a service is, read from its process by the rules, from its checks, and from what is done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from quarterdeck.agent.processes.supervision import Ending, Outcome
from quarterdeck.agent.services.memory import Over
from quarterdeck.model.jobs import JobState
from quarterdeck.model.processes import FOREVER, Phase
from quarterdeck.model.services import ALIVE_S, Service, ServiceState

if TYPE_CHECKING:
    from quarterdeck.agent.processes.processes import Kept


class Read(NamedTuple):
    """A state, and in words why it is not a better one."""

    state: ServiceState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What the checks of one run of a process came to."""

    run: float = 0.0  #: when that run began
    well: bool | None = None  #: None: it is not known yet
    found: str = ""  #: what the last check found wrong


def read_over(over: Over) -> Read:
    """Of one that is not started again."""
    if over.state is JobState.OK:
        return Read(ServiceState.STOPPED, "It ran to its end.")
    if over.state is JobState.KILLED:
        return Read(
            ServiceState.STOPPED, f"Somebody ended it. Start it with `qd service restart`. {over.reason}".strip()
        )
    return Read(ServiceState.FAILED, f"It is not started again: {over.reason or 'it ended too often'}.")


def read_kept(service: Service, kept: Kept, health: Health, *, now: float, began_before: bool) -> Read:
    """Of one whose process is kept. `now`: by the loop's clock; `began_before`: it ran since it was told to start."""
    state = kept.state
    if state.phase is Phase.WAITING:
        return _waiting(kept, now=now, began_before=began_before)
    if state.phase is Phase.ENDING:
        sick = state.ending is Ending.UNHEALTHY
        return Read(ServiceState.UNHEALTHY, health.found) if sick else Read(ServiceState.STOPPING)
    if kept.pid is None:
        return Read(ServiceState.STARTING)
    if service.health is not None:
        if health.run != kept.began or health.well is None:
            return Read(ServiceState.STARTING, health.found if health.run == kept.began else "")
        return Read(ServiceState.RUNNING, health.found) if health.well else Read(ServiceState.UNHEALTHY, health.found)
    alive = service.max_time != FOREVER or now - state.began >= ALIVE_S
    return Read(ServiceState.RUNNING if alive else ServiceState.STARTING)


def is_there(service: Service, state: ServiceState, *, over: Over | None, kept: Kept | None) -> bool:
    """Whether what comes after it may start: it is well, or, where it is to run to its end, it did."""
    if over is not None:
        return over.state is JobState.OK and service.max_time != FOREVER
    if service.health is not None or service.max_time == FOREVER:
        return state is ServiceState.RUNNING
    return kept is not None and kept.state.outcome is Outcome.OK


def _waiting(kept: Kept, *, now: float, began_before: bool) -> Read:
    state = kept.state
    pause = max(0.0, (state.due or now) - now)
    if state.outcome is Outcome.OK and state.rules.max_time != FOREVER:
        return Read(
            ServiceState.WAITING, f"It ran to its end, and runs again every {state.rules.recurring_period:g} s."
        )
    if not began_before and not kept.problem:
        return Read(ServiceState.STARTING)
    why = kept.problem or kept.reason or "it ended with exit code 0"
    return Read(ServiceState.BACKOFF, f"{why.rstrip('.')}; it is started again after {pause:.1f} s")
