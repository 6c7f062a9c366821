"""The commands that run a script: `execute_js_py`, `execute_js_lua` and `execute_sh`.

Each is a process like that of `execute`, whose program is an interpreter. Python is the agent's own, isolated (`-I`)
from the user's site and from `PYTHON*` of the environment: it has the standard library and what the agent has. Lua 5.4
is `agent/scripts/lua.py`. The shell is `/bin/sh`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, Run, arguments
from quarterdeck.agent.commands.execute import program_command
from quarterdeck.agent.processes.processes import Process, Processes
from quarterdeck.agent.scripts.files import ScriptFiles
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.scripts import LUA, PYTHON, SHELL, ScriptArguments

#: unbuffered, so that messages come as they are printed; text is UTF-8 whatever the locale is
_PYTHON = (sys.executable, "-I", "-u", "-X", "utf8")
_LUA = (*_PYTHON, "-m", "quarterdeck.agent.scripts.lua")
#: characters of a script's hash that its errors call it by, when it has no name
_SHORT = 12


def script_commands(processes: Processes, files: ScriptFiles) -> dict[str, Command]:
    """The three of them."""
    return {cmd: _command(processes, files) for cmd in (PYTHON, LUA, SHELL)}


def _command(processes: Processes, files: ScriptFiles) -> Command:
    async def prepare(job: JobOffer) -> Process:
        given = arguments(job, ScriptArguments, data=False)
        if given.script is not None or not given.sha256:
            raise BadInput(f"{job.cmd} takes the argument sha256 on a node; the server makes it of 'script'.")
        path = await files.hold(job.id, given.sha256, user=given.user)
        argv = (*_interpreter(job.cmd, given, path), *given.args)
        return Process(id=job.id, argv=argv, settings=given, stdin=job.data.encode(), cmd=job.cmd)

    def releasing(run: Run) -> Run:
        async def until_over(job: JobOffer) -> Outcome:
            try:
                outcome = await run(job)
            except asyncio.CancelledError:
                if processes.get(job.id) is None:  # else the agent ends: the process goes on, and needs its file
                    await files.release(job.id)
                raise
            except Exception:
                await files.release(job.id)
                raise
            await files.release(job.id)
            return outcome

        return until_over

    command = program_command(processes, prepare)
    resume = None if command.resume is None else releasing(command.resume)
    return msgspec.structs.replace(command, run=releasing(command.run), resume=resume)


def _interpreter(cmd: str, given: ScriptArguments, path: Path) -> tuple[str, ...]:
    if cmd == PYTHON:
        return (*_PYTHON, str(path))
    if cmd == LUA:
        return (*_LUA, given.name or given.sha256[:_SHORT], str(path))
    return ("/bin/sh", str(path))
