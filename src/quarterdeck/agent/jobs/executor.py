"""Runs jobs, each in its turn; has the ledger record the start of a job before it starts, and its result afterwards.

Finds commands in the registry (`agent/commands/command.py`). A job that fails has a result like any other; no failure
of a command ends the executor. While the ledger's disk is full, jobs wait to start, and results wait in memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, Run, common_arguments
from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.queues import Queues
from quarterdeck.agent.jobs.records import Record, Stage
from quarterdeck.agent.jobs.waits import WAITS
from quarterdeck.kit.names import nearest
from quarterdeck.kit.patterns import matches_any
from quarterdeck.kit.tasks import TaskSet, cancel
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.errors import BadInput, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import JobOffer, JobResult, JobState

log = logging.getLogger(__name__)

#: characters that a result's data and streams may have together: the link carries no message of more than 64 MiB
RESULT_LIMIT = 12 * 1024 * 1024
LOST = "The node has no record of this job, though it had taken it: its job ledger was lost or damaged."
_NOT_ALLOWED = "This node's configuration (agent.jobs.allow) has no {}."
RESTARTED = "The agent was restarted while it ran."


class Executor:
    """Runs jobs by `commands`. `started` is called with ids, `finished` with results, once the ledger has them."""

    def __init__(
        self,
        commands: Mapping[str, Command],
        *,
        config: JobsConfig,
        ledger: Ledger,
        started: Callable[[str], None],
        finished: Callable[[JobResult], None],
        retry_s: float = WAITS.retry_s,
    ) -> None:
        self._commands = commands
        self._allow = config.allow
        self._ledger = ledger
        self._started = started
        self._finished = finished
        self._retry_s = retry_s
        self._queues = Queues(config.max_jobs)
        self._jobs: dict[str, JobOffer] = {}  # waiting jobs
        self._running: dict[str, asyncio.Task[Outcome]] = {}
        self._ends: dict[str, Callable[[str], bool]] = {}  # of running jobs that must not be cancelled
        self._killed: dict[str, str] = {}  # id → reason, until the job has ended
        self._tasks = TaskSet()

    def allows(self, cmd: str) -> bool:
        """Return whether this node's configuration allows the server to use this command."""
        return matches_any(cmd, self._allow)

    def verdict(self, job: JobOffer) -> JobResult | None:
        """Return the result of a job that cannot run here; None when it can."""
        if "/" in job.id:  # ids with a slash belong to services and their checks
            return _result(job, JobState.ERROR, "A job's id has no '/'.")
        if not self.allows(job.cmd):
            return _result(job, JobState.REFUSED, _NOT_ALLOWED.format(job.cmd))
        if job.cmd not in self._commands:
            return _result(job, JobState.UNKNOWN_CMD, self._unknown(job.cmd))
        try:
            common_arguments(job)
        except BadInput as error:
            return _result(job, JobState.ERROR, str(error))
        return None

    def _unknown(self, cmd: str) -> str:
        near = nearest(cmd, self._commands) or sorted(self._commands)
        return f"This node has no command '{cmd}'. It has {', '.join(near)}."

    def outlives(self, cmd: str) -> bool:
        """Return whether a program that a job of this command started may exist without a record of the job."""
        command = self._commands.get(cmd)
        return command is not None and command.left is not None

    def admit(self, job: JobOffer) -> bool:
        """Return whether a new job may start now; it then holds its place until `begin` or `withdraw`."""
        return self._queues.begin(job.id, _queue(job), immediate=self._immediate(job))

    def withdraw(self, ids: Iterable[str]) -> None:
        """Note that these admitted jobs cannot be taken."""
        for id_ in ids:
            self._queues.end(id_)
        self._next()

    def begin(self, job: JobOffer) -> None:
        """Run an admitted job that the ledger records as RUNNING."""
        self._start(job, self._commands[job.cmd].run)

    def wait(self, job: JobOffer) -> None:
        """Queue a job that the ledger records as TAKEN until its turn."""
        self._jobs[job.id] = job
        self._queues.wait(job.id, _queue(job), immediate=self._immediate(job))
        self._next()

    def recover(self, record: Record) -> None:
        """Resume a job that an earlier run of the agent left as TAKEN or RUNNING."""
        job = record.offer
        command = self._commands.get(job.cmd)
        if record.stage is Stage.RUNNING and not self.allows(job.cmd):  # it was allowed when it started
            reason = f"{_NOT_ALLOWED.format(job.cmd)} It was ended when the agent began anew."
            self._tasks.spawn(self._note(job, _result(job, JobState.REFUSED, reason)))
        elif record.stage is Stage.RUNNING and command is not None and command.resume is not None:
            self._queues.begin(job.id, _queue(job), immediate=True)  # it runs already, whatever the limit is now
            self._start(job, _resumed(command, command.resume, record), earlier=record)
        elif record.stage is Stage.RUNNING:
            self._tasks.spawn(self._note(job, _result(job, JobState.LOST, RESTARTED)))
        elif result := self.verdict(job):
            self._tasks.spawn(self._note(job, result))
        else:
            self.wait(job)

    def fail(self, job: JobOffer, error: Exception) -> None:
        """Give an error as the result to a recorded job that cannot continue."""
        log.error("the job '%s' (%s) failed because of an internal error", job.id, job.cmd, exc_info=error)
        self._jobs.pop(job.id, None)
        self._queues.end(job.id)
        self._tasks.spawn(self._note(job, fault(job, error)))

    def kill(self, id_: str, reason: str) -> bool:
        """End a job that waits or runs; return whether it exists."""
        if self._queues.waits(id_):
            job = self._jobs.pop(id_)
            self._queues.end(id_)
            self._tasks.spawn(self._note(job, _result(job, JobState.KILLED, f"It was {reason}, before it began.")))
            return True
        running = self._running.get(id_)
        if running is None or running.done():
            return False
        self._killed.setdefault(id_, reason)
        end = self._ends.get(id_)
        if end is None or not end(id_):
            running.cancel()
        return True

    def end_all(self, reason: str) -> None:
        """End every job that waits or runs."""
        for id_ in (*self._jobs, *self._running):
            self.kill(id_, reason)

    async def close(self) -> None:
        """Cancel running jobs. The next run of the agent sends their results."""
        await cancel(*self._tasks, *self._running.values())

    def _next(self) -> None:
        for id_ in self._queues.next():
            job = self._jobs.pop(id_)
            self._start(job, self._commands[job.cmd].run, recorded=False)

    def _immediate(self, job: JobOffer) -> bool:
        """Return whether the job does not count against the limit: a lasting job would hold its place permanently."""
        command = self._commands[job.cmd]
        return command.immediate or (command.end is not None and common_arguments(job).lasting)

    def _start(self, job: JobOffer, run: Run, *, recorded: bool = True, earlier: Record | None = None) -> None:
        """Run a job. `recorded`: the ledger has its start; `earlier`: the record of one that an earlier run started."""
        if end := self._commands[job.cmd].end:
            self._ends[job.id] = end
        work = self._running[job.id] = asyncio.create_task(self._work(job, run, recorded=recorded))
        self._tasks.spawn(self._see_through(job, work, earlier))

    async def _see_through(self, job: JobOffer, work: asyncio.Task[Outcome], earlier: Record | None) -> None:
        """Wait for a job, put its result into the ledger, and start the next job."""
        starttime, began, before = int(time.time() * 1000), time.monotonic(), 0
        if earlier is not None:
            starttime, before = earlier.began, earlier.ran_ms
        try:
            await asyncio.wait((work,))  # a kill cancels only the work
        finally:
            work.cancel()
            self._running.pop(job.id, None)
            self._ends.pop(job.id, None)
        killed = self._killed.pop(job.id, "")
        outcome = Outcome(state=JobState.KILLED, reason="It was ended.") if work.cancelled() else work.result()
        if killed and outcome.state is JobState.KILLED:
            outcome = msgspec.structs.replace(outcome, reason=f"It was {killed}.")
        result = JobResult(
            id=job.id,
            cmd=job.cmd,
            starttime=starttime,
            time=before + round((time.monotonic() - began) * 1000),
            **msgspec.structs.asdict(_bounded(outcome)),
        )
        self._queues.end(job.id)
        self._next()
        await self._note(job, result)

    async def _work(self, job: JobOffer, run: Run, *, recorded: bool) -> Outcome:
        try:
            if not recorded:
                await self._put(Record.running(job))
            self._started(job.id)
            limit_s = 0.0 if job.id in self._ends else common_arguments(job).max_time
            return await _within(limit_s, run(job))
        except QuarterdeckError as error:
            return Outcome(state=JobState.ERROR, reason=str(error))
        except Exception as error:
            log.exception("the job '%s' (%s) failed because of an internal error", job.id, job.cmd)
            return Outcome(state=JobState.ERROR, reason=_fault(error))

    async def _note(self, job: JobOffer, result: JobResult) -> None:
        try:
            await self._put(Record(offer=job, stage=Stage.DONE, result=result))
        except Exception as error:
            log.exception("the result of the job '%s' cannot be stored because of an internal error", job.id)
            reason = f"It is {result.state}, but its result cannot be stored: {type(error).__name__}."
            result = JobResult(id=job.id, cmd=job.cmd, state=JobState.ERROR, code=result.code, reason=reason)
            await self._put(Record(offer=job, stage=Stage.DONE, result=result))
        self._finished(result)

    async def _put(self, record: Record) -> None:
        """Write the record; retry while the disk refuses it."""
        complained = False
        while True:
            try:
                await self._ledger.put((record,))
            except Unavailable as error:
                if not complained:
                    log.warning("the job '%s' waits: %s", record.offer.id, error)
                complained = True
                await asyncio.sleep(self._retry_s)
            else:
                return


def _resumed(command: Command, resume: Run, record: Record) -> Run:
    """Run a job that surely had not started when the agent ended; resume any other.

    A job whose record was lost, so that the server offered it again, is resumed if its program exists, and never run.
    """
    if record.offer.taken:
        return _resumed_if_left(command, resume)
    since, unbegun = record.since_here, command.unbegun
    if since is None or unbegun is None:
        return resume

    async def run(job: JobOffer) -> Outcome:
        return await (command.run if await unbegun(job.id, since) else resume)(job)

    return run


def _resumed_if_left(command: Command, resume: Run) -> Run:
    async def run(job: JobOffer) -> Outcome:
        if command.left is not None and await command.left(job.id):
            return await resume(job)
        return Outcome(state=JobState.LOST, reason=LOST)

    return run


async def _within(max_time_s: float, work: Awaitable[Outcome]) -> Outcome:
    """Return the outcome of `work`, or TIMEOUT. A time of 0 or less means no limit."""
    limit = asyncio.timeout(max_time_s if max_time_s > 0 else None)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():  # the command's own TimeoutError
            raise
    return Outcome(state=JobState.TIMEOUT, reason=f"It ran longer than its max_time of {max_time_s:g} s.")


def fault(job: JobOffer, error: Exception) -> JobResult:
    """Return the result of a job that failed because of an internal error."""
    return _result(job, JobState.ERROR, _fault(error))


def _fault(error: Exception) -> str:
    return f"Internal error: {type(error).__name__}: {error}."


def _bounded(outcome: Outcome) -> Outcome:
    size = len(outcome.data) + sum(map(len, outcome.streams)) + len(outcome.critical) + len(outcome.reason)
    if size <= RESULT_LIMIT:
        return outcome
    reason = f"Its result of {size} characters is over the limit of {RESULT_LIMIT} and was dropped."
    return Outcome(state=JobState.ERROR, code=outcome.code, reason=reason)


def _queue(job: JobOffer) -> str:
    return common_arguments(job).queue


def _result(job: JobOffer, state: JobState, reason: str) -> JobResult:
    return JobResult(id=job.id, cmd=job.cmd, state=state, reason=reason)
