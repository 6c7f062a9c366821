"""Commands that are a program: `execute`, and how any of them is kept by the process manager and answered.

`program_command` makes a command of whatever says which process a job is: the job's id is the process' id, its end is
the manager's business, and when the agent ends the process goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, arguments
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Process, Processes
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.model.jobs import JobOffer, JobState
from quarterdeck.model.processes import ExecuteArguments

#: says which process a job is
Prepare = Callable[[JobOffer], Awaitable[Process]]

_GONE = (
    "The agent ended while it ran, and its process could not be found again: the keeper or the host ended too, or it "
    "could not be seen whether it had been started."
)


def execute_command(processes: Processes, templates: Templates) -> Command:
    """The command `execute`."""

    async def prepare(job: JobOffer) -> Process:
        given = arguments(job, ExecuteArguments, data=False)
        argv = templates.fill_all((given.cmd, *given.args))
        return Process(id=job.id, argv=argv, settings=given, stdin=job.data.encode())

    return program_command(processes, prepare)


def program_command(processes: Processes, prepare: Prepare) -> Command:
    """A command whose jobs are processes, as `prepare` says. It raises a QuarterdeckError when a job cannot be one."""

    async def run(job: JobOffer) -> Outcome:
        return await _see_through(processes, await prepare(job))

    async def resume(job: JobOffer) -> Outcome:
        process = await prepare(job)
        if process.settings.remembered or await processes.has(job.id):
            return await _see_through(processes, process)
        return Outcome(state=JobState.LOST, reason=_GONE)

    def end(job_id: str) -> bool:
        kept = processes.get(job_id)
        if kept is None:
            return False
        kept.tell(Ending.KILLED)
        return True

    return Command(run=run, resume=resume, unbegun=processes.never_had, end=end)


async def _see_through(processes: Processes, process: Process) -> Outcome:
    """Keep it until it is over. The executor has it released, when the result is in the ledger."""
    ended = await processes.keep(process).over()
    return Outcome(**msgspec.structs.asdict(ended))
