"""The commands that the agent carries out without a program: `ping`, `get_…_info`, `kill` and `restart`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from quarterdeck.agent.commands import host
from quarterdeck.agent.commands.command import Command, NoArguments, Outcome, Run, answer, arguments
from quarterdeck.agent.commands.disks import Disks
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.struct import Struct


class KillArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `kill`."""

    id: str  #: the job to end


def builtin_commands(*, kill: Callable[[str, str], bool], restart: Callable[[str], None]) -> dict[str, Command]:
    """Return the registry of built-in commands.

    `kill(id, reason)` ends a job of this node, and returns whether it exists. `restart(id)` ends the agent soon, once
    the result of the job `id` is stored.
    """

    async def ping(job: JobOffer) -> Outcome:
        arguments(job, NoArguments)
        return answer(host.pong())

    async def end_other(job: JobOffer) -> Outcome:
        other = arguments(job, KillArguments).id
        if other == job.id:
            raise BadInput("kill ends another job; found its own id.")
        if not kill(other, f"ended by the job '{job.id}'"):
            raise NotFound(f"No job '{other}' waits or runs on this node.")
        return Outcome()

    async def end_agent(job: JobOffer) -> Outcome:
        arguments(job, NoArguments)
        restart(job.id)
        return Outcome()

    async def restarted(_: JobOffer) -> Outcome:
        """Return OK: the agent ended before it stored the result, because it was restarted as requested."""
        return Outcome()

    return {
        "ping": Command(run=ping),
        "get_cpu_info": Command(run=_look(host.cpu_info)),
        "get_mem_info": Command(run=_look(host.mem_info)),
        "get_disk_info": Command(run=_look(Disks().info)),
        "get_nic_info": Command(run=_look(host.nic_info)),
        "get_os_info": Command(run=_look(host.os_info)),
        "kill": Command(run=end_other, immediate=True),
        "restart": Command(run=end_agent, resume=restarted, immediate=True),
    }


def builtin_names() -> frozenset[str]:
    """Return the names of the built-in commands."""
    return frozenset(builtin_commands(kill=lambda _id, _reason: False, restart=lambda _id: None))


def _look(read: Callable[[], msgspec.Struct]) -> Run:
    """Return a command that takes no arguments and answers with the result of `read`."""

    async def run(job: JobOffer) -> Outcome:
        arguments(job, NoArguments)
        return answer(await asyncio.to_thread(read))

    return run
