"""The commands about running processes: `killall`, `get_processes_stats` and `get_process_stats`."""

from __future__ import annotations

from quarterdeck.agent.commands.command import Command, NoArguments, Outcome, answer, arguments
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.model.errors import NotFound
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.processes import KilledAll, ProcessesStats
from quarterdeck.model.struct import Struct


class ProcessesArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `get_processes_stats`: each restricts the selection."""

    domain: str | None = None
    name: str | None = None


class ProcessArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `get_process_stats`."""

    id: str  #: the process' id: its job's, or service/NAME


def process_commands(processes: Processes) -> dict[str, Command]:
    """Return the registry of these commands."""

    async def kill_all(job: JobOffer) -> Outcome:
        arguments(job, NoArguments)
        return answer(KilledAll(killed=processes.killall()))

    async def of_all(job: JobOffer) -> Outcome:
        wanted = arguments(job, ProcessesArguments)
        found = [
            kept
            for kept in processes.running()
            if wanted.domain in (None, kept.source.domain) and wanted.name in (None, kept.source.name)
        ]
        return answer(ProcessesStats(processes=tuple(await processes.stats(found))))

    async def of_one(job: JobOffer) -> Outcome:
        wanted = arguments(job, ProcessArguments).id
        kept = processes.get(wanted)
        stats = await processes.stats([kept]) if kept is not None else []
        if not stats:
            raise NotFound(f"No process '{wanted}' runs on this node.", hint="get_processes_stats has those that do.")
        return answer(stats[0])

    return {
        "killall": Command(run=kill_all, immediate=True),
        "get_processes_stats": Command(run=of_all, immediate=True),
        "get_process_stats": Command(run=of_one, immediate=True),
    }
