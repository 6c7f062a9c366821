"""One process that is kept by its rules: what it was told, where it is, and what came of it.

It holds the state (`supervision.py`) and its clock: when something is due, the manager (`Hands`) is asked to do it.
It never waits, and owns neither the keeper nor what becomes of messages.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from quarterdeck.agent.messages.runs import Routing, Source
from quarterdeck.agent.processes.client import Child, Exited
from quarterdeck.agent.processes.output import RunOutput
from quarterdeck.agent.processes.supervision import Ending, Outcome, Supervised
from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import FOREVER, Phase, ProcessSettings, UsualSettings
from quarterdeck.model.struct import Struct

_STATES = {
    Outcome.OK: JobState.OK,
    Outcome.FAILED: JobState.ERROR,
    Outcome.TIMEOUT: JobState.TIMEOUT,
    Outcome.KILLED: JobState.KILLED,
}


@dataclass(frozen=True, kw_only=True)
class Process:
    """What to keep. `id`: the job's, or `service/NAME`; its messages are filed under it."""

    id: str
    argv: tuple[str, ...]
    settings: ProcessSettings
    stdin: bytes = b""
    cmd: str = "execute"  #: what its stats are filed under, beside domain and name


class Ended(Struct, frozen=True, kw_only=True):
    """What came of a process; the fields are those of a job's outcome."""

    state: JobState
    data: str = ""
    level: int = 0
    code: int | None = None
    reason: str = ""
    critical: str = ""
    streams: tuple[str, str] = ("", "")


class Hands(Protocol):
    """What a kept process has done for it."""

    usual: UsualSettings  #: what it is not told otherwise

    def launch(self, kept: Kept) -> None:
        """Start it; `running` or `refused` is called then."""
        ...

    def end(self, kept: Kept) -> None:
        """TERM to its whole tree, KILL after its grace."""
        ...

    def note(self, kept: Kept, level: Level, text: str) -> None:
        """A message of ours in its log, forwarded."""
        ...


class Kept:
    """A process and its rules. `changed` is called when its state is another."""

    def __init__(self, process: Process, *, hands: Hands, changed: Callable[[], None] = lambda: None) -> None:
        self.process = process
        self.source = Source(process.id, process.settings.domain, process.settings.name)
        told = process.settings.complete(hands.usual)
        self.routing = Routing.of(told)
        self.stats_interval = told.stats_interval
        self.output = RunOutput(self.source, self.routing)
        self.pid: int | None = None  #: while it runs
        self.began = 0.0  #: of its last run, seconds since the epoch
        self.reason = ""  #: of its last run's end, in words; empty when that was well
        self.problem = ""  #: why its last start was refused, in words
        self._hands = hands
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._code: int | None = None
        self._lost = False
        self._why = "ended"
        self.down = False  #: it ends with the agent
        self.runs = 0  #: how often it was started
        self._over_runs = 0  # how many of these are over
        self._over: asyncio.Future[Ended] = self._loop.create_future()
        self._state = Supervised(rules=process.settings, due=self._loop.time())

    @property
    def id(self) -> str:
        """Of its job, or `service/NAME`."""
        return self.process.id

    @property
    def state(self) -> Supervised:
        """Where it is by its rules."""
        return self._state

    def reading(self, seq: int) -> bytes:
        """How far its output was read, up to the keeper's record `seq`: to be stored with its messages."""
        return self.output.reading(began=self.began, seq=seq).packed()

    @property
    def code(self) -> int | None:
        """Exit code of its last run; -n: signal n ended it."""
        return self._code

    async def over(self) -> Ended:
        """What came of it, when it is not started again. Who gives up waiting changes nothing."""
        return await asyncio.shield(self._over)

    def tell(self, ending: Ending, *, why: str = "") -> None:
        """Ask it to end. Never waits. `why`: in words that follow "It was"."""
        before, self._why = self._state, why or self._why
        self._set(before.told(ending))
        if before.phase is Phase.RUNNING and self._state.phase is Phase.ENDING and self.pid is not None:
            self._hands.end(self)

    def put_down(self) -> None:
        """End it, and do not start it again in this life of the agent; what becomes of it is for the next."""
        self.down = True
        self.stop()
        if self.pid is not None:
            self._hands.end(self)

    # ── what the manager says ────────────────────────────────────────────────────────────────────────────────────────
    def begin(self) -> None:
        """Nobody else runs it: it may be started now, or when it is due."""
        self._set(self._state)

    def running(self, child: Child, *, run: int = 0) -> None:
        """Its run of this number is under way. 0: it was before this agent began."""
        if run and run == self._over_runs:
            return  # its exit was told first
        self.pid, self.began, self.problem = child.pid, child.began, ""
        if not run:
            self.runs = 1
            self._set(self._state.started(self._loop.time(), began=child.since, restarts=child.restarts))
        elif self.down or self._state.phase is Phase.ENDING:  # it was told while it started
            self._hands.end(self)
        self._changed()

    def refused(self, why: str) -> None:
        """It could not be started: a failed run."""
        self.problem = why
        self._hands.note(self, Level.OPS_ERROR, why)
        self._ended(None, why)

    def exited(self, exit_: Exited) -> None:
        """It has ended, and all it printed was taken."""
        self._lost = exit_.lost
        if exit_.lost and self._state.rules.remembered:
            self._state = self._state.told(Ending.KILLALL)  # no fault of the program's
        self._ended(exit_.code, _words(exit_))

    def stop(self) -> None:
        """The agent ends: no clock runs any more."""
        if self._timer is not None:
            self._timer.cancel()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _ended(self, code: int | None, why: str) -> None:
        self.pid, self._code, self.reason = None, code, why
        self._over_runs = self.runs
        if self.down:
            return
        state = self._state.ended(self._loop.time(), code=code, jitter=random.random())  # noqa: S311
        rules = state.rules
        if state.exhausted and (rules.max_restart > 0 or rules.max_time == FOREVER):
            often = f"{rules.max_restart + 1} times. The last time" if rules.max_restart else "once"
            text = f"It is not started again: it failed {often}: {why.rstrip('.') or 'ended'}."
            self._hands.note(self, Level.CRITICAL, text)
        self._set(state)

    def _set(self, state: Supervised) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._state = state
        if state.phase is Phase.DONE:
            if not self._over.done():
                self._over.set_result(self._result(state))
        elif state.due is not None:
            if state.is_due(self._loop.time()):
                self._due()
                return
            self._timer = self._loop.call_at(state.due, self._due)
        self._changed()

    def _due(self) -> None:
        if self._state.phase is Phase.WAITING:
            self.output = RunOutput(self.source, self.routing)
            self.runs += 1
            self._set(self._state.started(self._loop.time()))
            self._hands.launch(self)
        elif self._state.phase is Phase.RUNNING:
            self.tell(Ending.TIMEOUT)

    def _result(self, state: Supervised) -> Ended:
        data, level = self.output.data
        outcome = _STATES[state.outcome or Outcome.FAILED]
        if self._lost and outcome is JobState.ERROR:
            outcome = JobState.LOST
        reason = self.reason
        if outcome is JobState.TIMEOUT:
            reason = f"It ran longer than its max_time of {state.rules.max_time:g} s."
        elif outcome is JobState.KILLED:
            reason = f"It was {self._why}."
        return Ended(
            state=outcome,
            data=data,
            level=level,
            code=self._code,
            reason="" if outcome is JobState.OK else reason,
            critical=self.output.critical,
            streams=self.output.streams,
        )


def _words(exit_: Exited) -> str:
    """How it ended, unless that was well."""
    if exit_.lost:
        return "Its keeper ended before it: what was left of it was killed, and how it ended is not known."
    if exit_.code is None:
        return "how it ended is not known"
    if exit_.code >= 0:
        return f"exit code {exit_.code}" if exit_.code else ""
    try:
        name = signal.Signals(-exit_.code).name.removeprefix("SIG")
    except ValueError:  # a real-time one
        return f"signal {-exit_.code}"
    return f"signal {-exit_.code} ({name})"
