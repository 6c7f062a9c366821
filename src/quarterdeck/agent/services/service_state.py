"""The state of a service, read from its process and its health. It decides what to report, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from quarterdeck.agent.processes.supervision import Ending, RunOutcome
from quarterdeck.agent.services.launch_records import FinalOutcome
from quarterdeck.model.jobs import JobState
from quarterdeck.model.processes import FOREVER, Phase
from quarterdeck.model.services import ALIVE_S, Service, ServiceState

if TYPE_CHECKING:
    from quarterdeck.agent.processes.supervised_process import SupervisedProcess


class StateReading(NamedTuple):
    """A state, and the reason in words when it is not the best one."""

    state: ServiceState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The result of the checks of one run."""

    run: float = 0.0  #: when that run began
    well: bool | None = None  #: None: it is not known yet
    found: str = ""  #: what the last check found wrong


def read_outcome(outcome: FinalOutcome) -> StateReading:
    """Return the state of a service that is not started again."""
    if outcome.state is JobState.OK:
        return StateReading(ServiceState.STOPPED, "It ran to its end.")
    if outcome.state is JobState.KILLED:
        return StateReading(
            ServiceState.STOPPED, f"Somebody ended it. Start it with `qd service restart`. {outcome.reason}".strip()
        )
    return StateReading(ServiceState.FAILED, f"It is not started again: {outcome.reason or 'it ended too often'}.")


def read_process(service: Service, process: SupervisedProcess, health: Health, *, now: float) -> StateReading:
    """Return the state of a service that has a process. `now`: by the event loop's clock."""
    state = process.state
    if state.phase is Phase.WAITING:
        return _waiting(process, now=now)
    if state.phase is Phase.ENDING:
        sick = state.ending is Ending.UNHEALTHY
        return StateReading(ServiceState.UNHEALTHY, health.found) if sick else StateReading(ServiceState.STOPPING)
    if process.pid is None:
        return StateReading(ServiceState.STARTING)
    if service.health is not None:
        if health.run != process.began or health.well is None:
            return StateReading(ServiceState.STARTING, health.found if health.run == process.began else "")
        return (
            StateReading(ServiceState.RUNNING, health.found)
            if health.well
            else StateReading(ServiceState.UNHEALTHY, health.found)
        )
    alive = service.max_time != FOREVER or now - state.began >= ALIVE_S
    return StateReading(ServiceState.RUNNING if alive else ServiceState.STARTING)


def has_come_up(
    service: Service, state: ServiceState, *, outcome: FinalOutcome | None, process: SupervisedProcess | None
) -> bool:
    """Return whether services that come after it may start: it is well, or has ended well if it is to end."""
    if outcome is not None:
        return outcome.state is JobState.OK and service.max_time != FOREVER
    if service.health is not None or service.max_time == FOREVER:
        return state is ServiceState.RUNNING
    return process is not None and process.state.outcome is RunOutcome.OK


def _waiting(process: SupervisedProcess, *, now: float) -> StateReading:
    state = process.state
    pause = max(0.0, (state.due or now) - now)
    if state.outcome is RunOutcome.OK and state.rules.max_time != FOREVER:
        return StateReading(
            ServiceState.WAITING, f"It ran to its end, and runs again every {state.rules.recurring_period:g} s."
        )
    if not process.runs and not process.problem:
        return StateReading(ServiceState.STARTING)
    why = process.problem or process.reason or "it ended with exit code 0"
    return StateReading(ServiceState.BACKOFF, f"{why.rstrip('.')}; it is started again after {pause:.1f} s")
