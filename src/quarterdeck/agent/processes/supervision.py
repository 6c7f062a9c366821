"""The rules by which a process is kept alive: the next action, from the events so far and the current time.

The module has no clock, no randomness and no process. Times (monotonic seconds) and the jitter are passed in, and every
call returns what the caller has to do. The rules are those of the requirement document:

- `max_time`: -1 runs for ever and is remembered over restarts of the agent, 0 for as long as it needs, n seconds.
- `max_restart`: so often it is started again when it fails. A run of five minutes clears the count; when the count is
  used up a critical message says so.
- `recurring_period`: seconds from the end of a run, whatever its outcome, to the next.
- What was killed is not started again; but `killall` leaves those that are remembered or recurring to start again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from quarterdeck.kit.backoff import Backoff
from quarterdeck.model.processes import FOREVER, Phase, Rules

#: a run that lived so long was not a failed start
GOOD_RUN_S = 300.0
#: before the first restart; then twice as long each time
BACKOFF_FIRST_S = 0.1
BACKOFF_CAP_S = 60.0


class Ending(StrEnum):
    """The reason for which a process was told to end. Of several, the last one in this order holds."""

    UNHEALTHY = "unhealthy"  #: its health check says so: a failed run
    TIMEOUT = "timeout"
    RESTART = "restart"  #: it is to be started again at once
    KILLALL = "killall"
    KILLED = "killed"


class RunOutcome(StrEnum):
    """The outcome of a run that has ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionState:
    """The state of one process. Each method returns the next state."""

    rules: Rules
    phase: Phase = Phase.WAITING
    due: float | None = 0.0  #: WAITING: when it is to be started; RUNNING: when its time is over; None: never
    began: float = 0.0
    restarts: int = 0  #: failed runs since the last good one
    ending: Ending | None = None
    outcome: RunOutcome | None = None  #: of the last run that is over
    exhausted: bool = False  #: max_restart is used up: to be told as a critical message (level 9)

    def is_due(self, now: float) -> bool:
        """WAITING: whether to start it; RUNNING: whether to end it, for its time is over."""
        return self.phase in (Phase.WAITING, Phase.RUNNING) and self.due is not None and now >= self.due

    def started(self, now: float) -> SupervisionState:
        """Record that the process runs."""
        return self._running(now, restarts=self.restarts)

    def found(self, now: float, *, began: float, restarts: int, over: bool) -> SupervisionState:
        """Take over a run that the agent found: when it `began`, after how many `restarts`, and whether it is `over`.

        A run that is over has not exceeded its time limit, whenever it began: its exit is about to be reported.
        """
        running = self._running(min(began, now), restarts=restarts)
        return replace(running, due=None) if over else running

    def found_ending(self, now: float) -> SupervisionState:
        """Note that an earlier run of the agent had ended the process: its time was over, or it was killed.

        One that is remembered or recurs may be to start again: that is told anew by whoever wants it to end.
        """
        if self.rules.remembered or self.rules.recurring_period:
            return self
        late = self.rules.max_time > 0 and now >= self.began + self.rules.max_time
        return self.told(Ending.TIMEOUT if late else Ending.KILLED)

    def _running(self, since: float, *, restarts: int) -> SupervisionState:
        limit = since + self.rules.max_time if self.rules.max_time > 0 else None
        return replace(self, phase=Phase.RUNNING, began=since, due=limit, restarts=restarts, ending=None)

    def told(self, ending: Ending) -> SupervisionState:
        """Note that the process is to end; a waiting one does not start (KILLED), or starts at its time (KILLALL)."""
        if self.phase is Phase.DONE:
            return self
        if self.phase is Phase.WAITING:
            gone = ending is Ending.KILLED or (ending is Ending.KILLALL and not self.rules.remembered)
            return replace(self, phase=Phase.DONE, due=None, outcome=RunOutcome.KILLED) if gone else self
        order = tuple(Ending)
        worst = ending if self.ending is None else max(self.ending, ending, key=order.index)
        return replace(self, phase=Phase.ENDING, due=None, ending=worst)

    def ended(self, now: float, *, code: int | None, jitter: float = 0.5) -> SupervisionState:
        """Note the end of the process. `code`: its exit code, None if unknown; `jitter`: 0 to 1, spreads restarts."""
        outcome = self._outcome(code)
        over = replace(self, due=None, ending=None, outcome=outcome, exhausted=False)
        if self.ending is Ending.KILLED or (self.ending is Ending.KILLALL and not self.rules.remembered):
            return replace(over, phase=Phase.DONE)
        if self.ending in (Ending.KILLALL, Ending.RESTART):
            wait = self.rules.recurring_period if self.ending is Ending.KILLALL else 0.0
            return replace(over, phase=Phase.WAITING, due=now + wait, restarts=0)
        lived = now - self.began >= GOOD_RUN_S
        restarts = 0 if lived else self.restarts
        if outcome is RunOutcome.OK and self.rules.max_time != FOREVER:
            return replace(over, restarts=0)._recurring(now)
        if outcome is RunOutcome.TIMEOUT:
            return replace(over, restarts=restarts)._recurring(now)
        if self.rules.max_restart != FOREVER and restarts >= self.rules.max_restart:
            told = outcome is RunOutcome.FAILED or self.rules.max_time == FOREVER
            return replace(over, restarts=0 if self.rules.recurring_period else restarts, exhausted=told)._recurring(
                now
            )
        wait = Backoff(BACKOFF_FIRST_S, BACKOFF_CAP_S).pause_s(restarts, jitter)
        return replace(over, phase=Phase.WAITING, due=now + wait, restarts=restarts + 1)

    def _outcome(self, code: int | None) -> RunOutcome:
        if self.ending is Ending.UNHEALTHY:
            return RunOutcome.FAILED
        if self.ending is Ending.TIMEOUT:
            return RunOutcome.TIMEOUT
        if self.ending is not None:
            return RunOutcome.KILLED
        return RunOutcome.OK if code == 0 else RunOutcome.FAILED

    def _recurring(self, now: float) -> SupervisionState:
        if self.rules.recurring_period:
            return replace(self, phase=Phase.WAITING, due=now + self.rules.recurring_period)
        return replace(self, phase=Phase.DONE)
