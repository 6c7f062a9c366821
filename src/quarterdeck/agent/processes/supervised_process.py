"""One process that is kept running by its rules: its settings, its state, its current run, and its result.

It owns the state (`supervision.py`) and the timer: when something is due, it asks the `Launcher` to start or end the
program. It never waits, never talks to the keeper, and never stores messages itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from quarterdeck.agent.keeper.messages import ChildStatus, Exited
from quarterdeck.agent.messages.runs import Routing, Source
from quarterdeck.agent.processes.output import RunOutput
from quarterdeck.agent.processes.program_run import ProgramRun, RunEnd, end_reason, leftovers
from quarterdeck.agent.processes.supervision import Ending, RunOutcome, SupervisionState
from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import FOREVER, Phase, ProcessSettings, UsualSettings, size_in_words
from quarterdeck.model.struct import Struct

_STATES = {
    RunOutcome.OK: JobState.OK,
    RunOutcome.FAILED: JobState.ERROR,
    RunOutcome.TIMEOUT: JobState.TIMEOUT,
    RunOutcome.KILLED: JobState.KILLED,
}


@dataclass(frozen=True, kw_only=True)
class Process:
    """The program to supervise. `id`: its job's id, or `service/NAME`; its messages are filed under it."""

    id: str
    argv: tuple[str, ...]
    settings: ProcessSettings
    stdin: bytes = b""
    stdin_file: str = ""  #: the file that is its standard input, instead of `stdin`
    ends_for_good: bool = True  #: it is only asked to end when it is not to run again
    cmd: str = "execute"  #: the command that its stats are filed under, beside domain and name


class ProcessResult(Struct, frozen=True, kw_only=True):
    """The result of a process; the fields are those of a job's outcome."""

    state: JobState
    data: str = ""
    level: int = 0
    code: int | None = None
    reason: str = ""
    critical: str = ""
    streams: tuple[str, str] = ("", "")


class Launcher(Protocol):
    """Starts and ends the programs of processes."""

    usual: UsualSettings  #: settings of processes that do not say otherwise

    def launch(self, process: SupervisedProcess) -> None:
        """Start its current run, and call `running` or `refused` then."""
        ...

    def end(self, process: SupervisedProcess) -> None:
        """Send TERM to its whole tree, and KILL after its grace period."""
        ...

    def note(self, process: SupervisedProcess, level: Level, text: str) -> None:
        """Add a message of the agent's own to its log, and forward it."""
        ...


@dataclass(frozen=True, slots=True)
class _Effective:
    """The settings in effect: the destination of its messages, and how often it is measured."""

    source: Source
    routing: Routing
    stats_interval: float

    @classmethod
    def of(cls, process: Process, usual: UsualSettings) -> _Effective:
        """Return what the process says, else what is usual."""
        settings = process.settings.complete(usual)
        source = Source(process.id, process.settings.domain, process.settings.name)
        return cls(source, Routing.of(settings), settings.stats_interval)


class SupervisedProcess:
    """A process and its rules. `changed` is called when its state has changed."""

    def __init__(self, process: Process, *, launcher: Launcher, changed: Callable[[], None] = lambda: None) -> None:
        self._launcher = launcher
        self._changed = changed
        self.process = process
        self._effective = _Effective.of(process, launcher.usual)
        self.run = self._new_run()  #: the current or the last one
        self.runs = 0  #: how many have begun
        self.down = False  #: it ends with the agent
        self._last_end = RunEnd()
        self._ended_because = "ended"
        self._timer: asyncio.TimerHandle | None = None
        self._result: asyncio.Future[ProcessResult] = asyncio.get_running_loop().create_future()
        self._state = SupervisionState(rules=process.settings, due=_now())

    @property
    def id(self) -> str:
        """Return the id of its job, or `service/NAME`."""
        return self.process.id

    @property
    def state(self) -> SupervisionState:
        """Return where it is by its rules."""
        return self._state

    @property
    def output(self) -> RunOutput:
        """Return the output of its current run."""
        return self.run.output

    @property
    def source(self) -> Source:
        """Return what its messages are filed under."""
        return self._effective.source

    @property
    def routing(self) -> Routing:
        """Return where its messages go."""
        return self._effective.routing

    @property
    def stats_interval(self) -> float:
        """Return how often it is measured, in seconds."""
        return self._effective.stats_interval

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self.run.pid

    @property
    def began(self) -> float:
        """Return when its current or last run began, in seconds since the epoch."""
        return self.run.began

    @property
    def code(self) -> int | None:
        """Return the exit code of the last run that is over; -n: signal n ended it."""
        return self._last_end.code

    @property
    def reason(self) -> str:
        """Return in words how the last run ended; empty when it ended well."""
        return self._last_end.reason

    @property
    def problem(self) -> str:
        """Return in words why its last start was refused; empty when it was not."""
        return self._last_end.reason if self._last_end.refused and self.pid is None else ""

    def reading(self, seq: int) -> bytes:
        """Return how far its output was read, up to the keeper's record `seq`: to be stored with its messages."""
        return self.output.reading(began=self.began, seq=seq).packed()

    async def over(self) -> ProcessResult:
        """Wait until it is not started again, and return what came of it. A caller may give up waiting."""
        return await asyncio.shield(self._result)

    def tell(self, ending: Ending, *, why: str = "") -> None:
        """Ask it to end, without waiting. `why`: in words that follow "It was"."""
        before, self._ended_because = self._state, why or self._ended_because
        self._set(before.told(ending))
        if before.phase is Phase.RUNNING and self._state.phase is Phase.ENDING and self.pid is not None:
            self._launcher.end(self)

    def note(self, level: Level, text: str) -> None:
        """Add a message of the agent's own to its log, and forward it."""
        self._launcher.note(self, level, text)

    def become(self, process: Process, *, changed: Callable[[], None]) -> None:
        """Supervise it by these settings, now that they are known, as if they had been known since its run began."""
        before, self._changed = self._state, changed
        self.process = process
        self._effective = _Effective.of(process, self._launcher.usual)
        self.output.file_under(self._effective.source, self._effective.routing)
        end = self._last_end
        state = SupervisionState(rules=process.settings).found(
            _now(), began=before.began, restarts=before.restarts, over=end.exited is not None
        )
        killed = RunOutcome.KILLED in (before.outcome, before.ending and RunOutcome.KILLED)
        self._set(state.told(Ending.KILLED) if killed else state)
        if end.exited is not None:
            self._result = asyncio.get_running_loop().create_future()
            self.exited(end.exited, oom_kills=end.oom_kills)

    def put_down(self) -> None:
        """End it, and do not start it again in this life of the agent; the next one decides what becomes of it."""
        self.down = True
        self.stop()
        if self.pid is not None:
            self._launcher.end(self)

    def begin(self) -> None:
        """Start it now or when it is due: no earlier agent left it running."""
        self._set(self._state)

    def adopt(self, child: ChildStatus) -> None:
        """Take over a run that an earlier agent started."""
        self._runs_as(self.run, child)
        state = self._state.found(_now(), began=child.since, restarts=child.restarts, over=child.exit is not None)
        if child.killed and self.process.ends_for_good:
            lived = child.exit.ended - child.began if child.exit is not None else _now() - state.began
            state = state.found_ending(state.began + lived)
        self._set(state)
        self._changed()

    def running(self, child: ChildStatus, run: ProgramRun) -> None:
        """Record that this run has begun."""
        if run.over:  # its exit was reported first
            return
        self._runs_as(run, child)
        if self.down or self._state.phase is Phase.ENDING:  # it was asked to end while it started
            self._launcher.end(self)
        self._changed()

    def refused(self, why: str) -> None:
        """Record that it could not be started, which is a failed run."""
        self.note(Level.OPS_ERROR, why)
        self._finish(RunEnd(reason=why, refused=True), at=_now())

    def exited(self, exited: Exited, *, oom_kills: int = 0) -> None:
        """Record that its run has ended and all output was taken. `oom_kills`: processes killed for lack of memory."""
        left = leftovers(exited)
        if left:
            self.note(Level.WARNING, left)
        if exited.lost and self._state.rules.remembered:
            self._state = self._state.told(Ending.KILLALL)  # not a failure of the program
        reason = end_reason(exited)
        if oom_kills and reason:
            reason = f"{reason}: {self._out_of_memory()}"
        if self._state.ending is Ending.UNHEALTHY:
            reason = f"it was {self._ended_because}"
        now = _now()
        at = min(max(exited.at, self._state.began), now) if exited.at else now  # it may be reported late
        end = RunEnd(
            code=exited.code, reason=reason, lost=exited.lost, leftovers=left, exited=exited, oom_kills=oom_kills
        )
        self._finish(end, at=at)

    def stop(self) -> None:
        """Stop its timer, because the agent ends."""
        if self._timer is not None:
            self._timer.cancel()

    def _new_run(self) -> ProgramRun:
        return ProgramRun(RunOutput(self._effective.source, self._effective.routing))

    def _runs_as(self, run: ProgramRun, child: ChildStatus) -> None:
        run.pid, run.began = child.pid, child.began
        self.runs += 1

    def _finish(self, end: RunEnd, *, at: float) -> None:
        self.run.pid, self.run.over, self._last_end = None, True, end
        if self.down:
            return
        state = self._state.ended(at, code=end.code, jitter=random.random())  # noqa: S311
        rules = state.rules
        if state.exhausted and (rules.max_restart > 0 or rules.max_time == FOREVER):
            often = f"{rules.max_restart + 1} times. The last time" if rules.max_restart else "once"
            text = f"It is not started again: it failed {often}: {end.reason.rstrip('.') or 'ended'}."
            self.note(Level.CRITICAL, text)
        elif end.code != 0 and state.phase is Phase.WAITING and not end.refused and not end.lost:
            pause = max(0.0, (state.due or 0.0) - _now())
            text = f"It ended: {end.reason.rstrip('.')}. It is started again after {pause:.1f} s."
            self.note(Level.OPS_ERROR, text)
        self._set(state)

    def _out_of_memory(self) -> str:
        limit = self.process.settings.limits.memory_bytes
        if limit is None:
            return "the host ran out of memory"
        return f"it used more than its limit of {size_in_words(limit)} of memory"

    def _set(self, state: SupervisionState) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._state = state
        if state.phase is Phase.DONE:
            if not self._result.done():
                self._result.set_result(self._describe(state))
        elif state.due is not None:
            if state.is_due(_now()):
                self._due()
                return
            self._timer = asyncio.get_running_loop().call_at(state.due, self._due)
        self._changed()

    def _due(self) -> None:
        if self._state.phase is Phase.WAITING:
            self.run = self._new_run()
            self._set(self._state.started(_now()))
            self._launcher.launch(self)
        elif self._state.phase is Phase.RUNNING:
            self.tell(Ending.TIMEOUT)

    def _describe(self, state: SupervisionState) -> ProcessResult:
        data, level = self.output.data
        end = self._last_end
        outcome = _STATES[state.outcome or RunOutcome.FAILED]
        if end.lost and outcome is JobState.ERROR:
            outcome = JobState.LOST
        reason = end.reason
        if outcome is JobState.TIMEOUT:
            reason = f"It ran longer than its max_time of {state.rules.max_time:g} s."
        elif outcome is JobState.KILLED:
            reason = f"It was {self._ended_because}."
        return ProcessResult(
            state=outcome,
            data=data,
            level=level,
            code=end.code,
            reason=end.leftovers if outcome is JobState.OK else reason,
            critical=self.output.critical,
            streams=self.output.streams,
        )


def _now() -> float:
    """Return the time of the event loop's clock."""
    return asyncio.get_running_loop().time()
