"""Carries jobs out, each in its turn, and has the ledger note that a job begins before it does, and what came of it.

Knows commands by the registry (`agent/commands/command.py`). A job that fails, in whatever way, is a result; nothing a
command does ends the executor. While the ledger's disk is full, jobs wait to begin, and results wait in memory.
"""

from __future__ import annotations

import asyncio
import difflib
import fnmatch
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, Run, common_arguments
from quarterdeck.agent.jobs.ledger import Ledger
from quarterdeck.agent.jobs.queues import Queues
from quarterdeck.agent.jobs.records import Record, Stage
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.errors import BadInput, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import JobOffer, JobResult, JobState

log = logging.getLogger(__name__)

#: between two tries to write to a ledger that cannot be written
RETRY_S = 1.0
#: characters a result's data and streams may have together: the link carries no message of more than 64 MiB
RESULT_LIMIT = 12 * 1024 * 1024
_NOT_ALLOWED = "This node's configuration (agent.jobs.allow) has no {}."
RESTARTED = "The agent was restarted while it ran."


class Executor:
    """Runs jobs by `commands`. `started` is told ids, `finished` results, when the ledger has them."""

    def __init__(
        self,
        commands: Mapping[str, Command],
        *,
        config: JobsConfig,
        ledger: Ledger,
        started: Callable[[str], None],
        finished: Callable[[JobResult], None],
    ) -> None:
        self._commands = commands
        self._allow = config.allow
        self._ledger = ledger
        self._started = started
        self._finished = finished
        self._queues = Queues(config.max_jobs)
        self._jobs: dict[str, JobOffer] = {}  # those that wait
        self._running: dict[str, asyncio.Task[Outcome]] = {}
        self._ends: dict[str, Callable[[str], bool]] = {}  # of running jobs that are not to be cancelled
        self._killed: dict[str, str] = {}  # id → reason, until the job has ended
        self._tasks: set[asyncio.Task[None]] = set()

    def allows(self, cmd: str) -> bool:
        """Whether this node's configuration lets the server ask for this command."""
        return any(fnmatch.fnmatchcase(cmd, pattern) for pattern in self._allow)

    def verdict(self, job: JobOffer) -> JobResult | None:
        """The result of a job that cannot be run here; None when it can."""
        if "/" in job.id:  # those are the ids of services and of their checks
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
        near = difflib.get_close_matches(cmd, self._commands, n=3) or sorted(self._commands)
        return f"This node has no command '{cmd}'. It has {', '.join(near)}."

    def admit(self, job: JobOffer) -> bool:
        """Whether a new job may begin at once; it then has its turn until `begin`, or `withdraw`."""
        return self._queues.begin(job.id, _queue(job), immediate=self._immediate(job))

    def withdraw(self, ids: Iterable[str]) -> None:
        """These were admitted and cannot be taken after all."""
        for id_ in ids:
            self._queues.end(id_)
        self._next()

    def begin(self, job: JobOffer) -> None:
        """Run a job that was admitted, and that the ledger has as RUNNING."""
        self._start(job, self._commands[job.cmd].run)

    def wait(self, job: JobOffer) -> None:
        """A job that the ledger has as TAKEN waits for its turn."""
        self._jobs[job.id] = job
        self._queues.wait(job.id, _queue(job), immediate=self._immediate(job))
        self._next()

    def recover(self, record: Record) -> None:
        """Take up a job that the ledger of an earlier life has as TAKEN or RUNNING."""
        job = record.offer
        command = self._commands.get(job.cmd)
        if record.stage is Stage.RUNNING and not self.allows(job.cmd):  # it was, when it began
            reason = f"{_NOT_ALLOWED.format(job.cmd)} It was ended when the agent began anew."
            self._spawn(self._note(job, _result(job, JobState.REFUSED, reason)))
        elif record.stage is Stage.RUNNING and command is not None and command.resume is not None:
            self._queues.begin(job.id, _queue(job), immediate=True)  # it runs, whatever the limit is now
            self._start(job, _taken_up(command, command.resume, record), earlier=record)
        elif record.stage is Stage.RUNNING:
            self._spawn(self._note(job, _result(job, JobState.LOST, RESTARTED)))
        elif result := self.verdict(job):
            self._spawn(self._note(job, result))
        else:
            self.wait(job)

    def kill(self, id_: str, reason: str) -> bool:
        """End a job that waits or runs. Whether there is one."""
        if self._queues.waits(id_):
            job = self._jobs.pop(id_)
            self._queues.end(id_)
            self._spawn(self._note(job, _result(job, JobState.KILLED, f"It was {reason}, before it began.")))
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
        """End what runs. Its results are for the next life to tell."""
        ending: list[asyncio.Task[Any]] = [*self._tasks, *self._running.values()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _next(self) -> None:
        for id_ in self._queues.next():
            job = self._jobs.pop(id_)
            self._start(job, self._commands[job.cmd].run, recorded=False)

    def _immediate(self, job: JobOffer) -> bool:
        """Whether it does not count against the limit: what lasts would hold its place for ever."""
        command = self._commands[job.cmd]
        return command.immediate or (command.end is not None and common_arguments(job).lasting)

    def _start(self, job: JobOffer, run: Run, *, recorded: bool = True, earlier: Record | None = None) -> None:
        """`recorded`: the ledger has that it runs; `earlier`: what it has of one that began in an earlier life."""
        if end := self._commands[job.cmd].end:
            self._ends[job.id] = end
        work = self._running[job.id] = asyncio.create_task(self._work(job, run, recorded=recorded))
        self._spawn(self._see_through(job, work, earlier))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, job: JobOffer, work: asyncio.Task[Outcome], earlier: Record | None) -> None:
        """From a job's first moment to its result in the ledger; then the next one's turn."""
        starttime, began, before = int(time.time() * 1000), time.monotonic(), 0
        if earlier is not None:
            starttime, before = earlier.began, earlier.ran_ms
        try:
            await asyncio.wait((work,))  # cancelled by a kill, it is the work alone that ends
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
        if not recorded:
            await self._put(Record.running(job))
        self._started(job.id)
        try:
            limit_s = 0.0 if job.id in self._ends else common_arguments(job).max_time
            return await _within(limit_s, run(job))
        except QuarterdeckError as error:
            return Outcome(state=JobState.ERROR, reason=str(error))
        except Exception as error:
            log.exception("the job '%s' (%s) failed by a fault of ours", job.id, job.cmd)
            return Outcome(state=JobState.ERROR, reason=f"A fault of the agent: {type(error).__name__}: {error}.")

    async def _note(self, job: JobOffer, result: JobResult) -> None:
        await self._put(Record(offer=job, stage=Stage.DONE, result=result))
        self._finished(result)

    async def _put(self, record: Record) -> None:
        """Write this, however long the disk says no."""
        complained = False
        while True:
            try:
                await self._ledger.put((record,))
            except Unavailable as error:
                if not complained:
                    log.warning("the job '%s' waits: %s", record.offer.id, error)
                complained = True
                await asyncio.sleep(RETRY_S)
            else:
                return


def _taken_up(command: Command, resume: Run, record: Record) -> Run:
    """Runs a job that was about to begin when the agent ended, and can be known not to have; else takes it up."""
    since, unbegun = record.since_here, command.unbegun
    if since is None or unbegun is None:
        return resume

    async def run(job: JobOffer) -> Outcome:
        return await (command.run if await unbegun(job.id, since) else resume)(job)

    return run


async def _within(max_time_s: float, work: Awaitable[Outcome]) -> Outcome:
    """What came of `work`, or TIMEOUT. A time of 0 or less is none."""
    limit = asyncio.timeout(max_time_s if max_time_s > 0 else None)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():  # the command's own
            raise
    return Outcome(state=JobState.TIMEOUT, reason=f"It ran longer than its max_time of {max_time_s:g} s.")


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
