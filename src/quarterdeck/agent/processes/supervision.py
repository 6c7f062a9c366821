"""The rules by which a process is kept alive: what is to be done next, given what happened and what time it is.

No clock, no dice, no process: times are passed in (monotonic seconds), so is the jitter, and every call returns what
somebody else has to do. The rules are the requirement document's:

- `max_time`: -1 runs for ever and is remembered over restarts of the agent, 0 for as long as it needs, n seconds.
- `max_restart`: so often it is started again when it fails. A run of five minutes clears the count; when the count is
  used up a critical message says so.
- `recurring_period`: seconds from the end of a run, whatever came of it, to the next.
- What was killed is not started again; but `killall` leaves those that are remembered or recurring to start again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from quarterdeck.model.processes import FOREVER, Phase, Rules

#: a run that lived so long was not a failed start
GOOD_RUN_S = 300.0
#: before the first restart; then twice as long each time
BACKOFF_FIRST_S = 0.1
BACKOFF_CAP_S = 60.0


class Ending(StrEnum):
    """Why it was told to end; the last wins that forbids more."""

    UNHEALTHY = "unhealthy"  #: its health check says so: a failed run
    TIMEOUT = "timeout"
    RESTART = "restart"  #: it is to be started again at once
    KILLALL = "killall"
    KILLED = "killed"


class Outcome(StrEnum):
    """What a run was, once it is over."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """The state of one process. Each method returns the next state."""

    rules: Rules
    phase: Phase = Phase.WAITING
    due: float | None = 0.0  #: WAITING: when it is to be started; RUNNING: when its time is over; None: never
    began: float = 0.0
    restarts: int = 0  #: failed runs since the last good one
    ending: Ending | None = None
    outcome: Outcome | None = None  #: of the last run that is over
    exhausted: bool = False  #: max_restart is used up: to be told as a critical message (level 9)

    def is_due(self, now: float) -> bool:
        """WAITING: whether to start it; RUNNING: whether to end it, for its time is over."""
        return self.phase in (Phase.WAITING, Phase.RUNNING) and self.due is not None and now >= self.due

    def started(self, now: float, *, began: float | None = None, restarts: int | None = None) -> Supervised:
        """It runs. If the agent finds it running: when it `began`, and after how many failed `restarts`."""
        since = now if began is None else min(began, now)
        restarts = self.restarts if restarts is None else restarts
        limit = since + self.rules.max_time if self.rules.max_time > 0 else None
        return replace(self, phase=Phase.RUNNING, began=since, due=limit, restarts=restarts, ending=None)

    def told(self, ending: Ending) -> Supervised:
        """It is asked to end; one that waits will not start (KILLED), or starts when it was to (KILLALL)."""
        if self.phase is Phase.DONE:
            return self
        if self.phase is Phase.WAITING:
            gone = ending is Ending.KILLED or (ending is Ending.KILLALL and not self.rules.remembered)
            return replace(self, phase=Phase.DONE, due=None, outcome=Outcome.KILLED) if gone else self
        order = tuple(Ending)
        worst = ending if self.ending is None else max(self.ending, ending, key=order.index)
        return replace(self, phase=Phase.ENDING, due=None, ending=worst)

    def ended(self, now: float, *, code: int | None, jitter: float = 0.5) -> Supervised:
        """It is gone. `code`: its exit code, None when that is not known; `jitter`: 0 to 1, spreads restarts."""
        outcome = self._outcome(code)
        over = replace(self, due=None, ending=None, outcome=outcome, exhausted=False)
        if self.ending is Ending.KILLED or (self.ending is Ending.KILLALL and not self.rules.remembered):
            return replace(over, phase=Phase.DONE)
        if self.ending in (Ending.KILLALL, Ending.RESTART):
            wait = self.rules.recurring_period if self.ending is Ending.KILLALL else 0.0
            return replace(over, phase=Phase.WAITING, due=now + wait, restarts=0)
        lived = now - self.began >= GOOD_RUN_S
        restarts = 0 if lived else self.restarts
        if outcome is Outcome.OK and self.rules.max_time != FOREVER:
            return replace(over, restarts=0)._recurring(now)
        if outcome is Outcome.TIMEOUT:
            return replace(over, restarts=restarts)._recurring(now)
        if self.rules.max_restart != FOREVER and restarts >= self.rules.max_restart:
            told = outcome is Outcome.FAILED or self.rules.max_time == FOREVER
            return replace(over, restarts=0 if self.rules.recurring_period else restarts, exhausted=told)._recurring(
                now
            )
        wait = backoff(restarts, jitter)
        return replace(over, phase=Phase.WAITING, due=now + wait, restarts=restarts + 1)

    def _outcome(self, code: int | None) -> Outcome:
        if self.ending is Ending.UNHEALTHY:
            return Outcome.FAILED
        if self.ending is Ending.TIMEOUT:
            return Outcome.TIMEOUT
        if self.ending is not None:
            return Outcome.KILLED
        return Outcome.OK if code == 0 else Outcome.FAILED

    def _recurring(self, now: float) -> Supervised:
        if self.rules.recurring_period:
            return replace(self, phase=Phase.WAITING, due=now + self.rules.recurring_period)
        return replace(self, phase=Phase.DONE)


def backoff(restarts: int, jitter: float) -> float:
    """Seconds before the restart that comes after so many: doubling to the cap, half of it spread by the jitter."""
    full = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2.0 ** min(restarts, 32))
    return full * (0.5 + 0.5 * jitter)
