"""Commands that run a program: `execute`, and how any such command is supervised and answered.

`program_command` builds a command from a function that returns the process of a job: the job's id is the process' id,
the process manager ends it, and it continues when the agent ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, Run, arguments
from quarterdeck.agent.commands.standard_input import StandardInputs
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.supervised_process import Process
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.model.jobs import JobOffer, JobState
from quarterdeck.model.processes import ExecuteArguments

#: returns the process that a job is to run
Prepare = Callable[[JobOffer], Awaitable[Process]]
#: releases what a job of this id holds
Release = Callable[[str], Awaitable[None]]

_GONE = (
    "The agent ended while it ran, and its process could not be found again: the keeper or the host ended too, or it "
    "could not be seen whether it had been started."
)


def execute_command(processes: Processes, templates: Templates, inputs: StandardInputs) -> Command:
    """Return the command `execute`."""

    async def prepare(job: JobOffer) -> Process:
        given = arguments(job, ExecuteArguments, data=False)
        argv = (templates.path(given.cmd), *given.args)
        stdin = await inputs.find(job, given.stdin_sha256)
        return Process(id=job.id, argv=argv, settings=given, stdin=stdin.data, stdin_file=stdin.file)

    return program_command(processes, prepare, release=inputs.release)


def program_command(processes: Processes, prepare: Prepare, *, release: Release | None = None) -> Command:
    """Return a command whose jobs are the processes that `prepare` returns; it raises for a job that cannot run.

    `release` is called when a job has ended, and releases what `prepare` took for it.
    """

    async def run(job: JobOffer) -> Outcome:
        return await _see_through(processes, await prepare(job))

    async def resume(job: JobOffer) -> Outcome:
        process = await prepare(job)
        if process.settings.remembered or await processes.has(job.id):
            return await _see_through(processes, process)
        return Outcome(state=JobState.LOST, reason=_GONE)

    def releasing(run: Run) -> Run:
        return run if release is None else _releasing(processes, run, release)

    def end(job_id: str) -> bool:
        kept = processes.get(job_id)
        if kept is None:
            return False
        kept.tell(Ending.KILLED)
        return True

    return Command(
        run=releasing(run), resume=releasing(resume), unbegun=processes.never_had, left=processes.has, end=end
    )


def _releasing(processes: Processes, run: Run, release: Release) -> Run:
    async def until_over(job: JobOffer) -> Outcome:
        try:
            outcome = await run(job)
        except asyncio.CancelledError:
            if processes.get(job.id) is None:  # else the agent ends: the process continues, and needs its files
                await release(job.id)
            raise
        except Exception:
            await release(job.id)
            raise
        await release(job.id)
        return outcome

    return until_over


async def _see_through(processes: Processes, process: Process) -> Outcome:
    """Wait until the process has ended. The executor releases it when the result is in the ledger."""
    ended = await processes.keep(process).over()
    return Outcome(**msgspec.structs.asdict(ended))
