"""The commands that run a script: `execute_js_py`, `execute_js_lua` and `execute_sh`.

Each runs a process as `execute` does, whose program is an interpreter. Python is the agent's own, isolated (`-I`) from
the user's site and from `PYTHON*` of the environment: it has the standard library and the agent's packages. Lua 5.4 is
`agent/scripts/lua.py`. The shell is `/bin/sh`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from quarterdeck.agent.commands.command import Command, arguments
from quarterdeck.agent.commands.execute import program_command
from quarterdeck.agent.commands.standard_input import StandardInputs
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.supervised_process import Process
from quarterdeck.agent.scripts.files import ScriptFiles
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.scripts import LUA, PYTHON, SHELL, ScriptArguments

#: unbuffered, so that messages come as they are printed; text is UTF-8 whatever the locale is
_PYTHON = (sys.executable, "-I", "-u", "-X", "utf8")
_LUA = (*_PYTHON, "-m", "quarterdeck.agent.scripts.lua")
#: characters of a script's hash that name it in errors, when it has no name
_SHORT = 12


def script_commands(processes: Processes, files: ScriptFiles, inputs: StandardInputs) -> dict[str, Command]:
    """Return the three commands."""
    return {cmd: _command(processes, files, inputs) for cmd in (PYTHON, LUA, SHELL)}


def _command(processes: Processes, files: ScriptFiles, inputs: StandardInputs) -> Command:
    async def prepare(job: JobOffer) -> Process:
        given = arguments(job, ScriptArguments, data=False)
        if given.script is not None or not given.sha256:
            raise BadInput(f"{job.cmd} takes the argument sha256 on a node; the server computes it from 'script'.")
        stdin = await inputs.find(job, given.stdin_sha256)
        path = await files.hold(job.id, given.sha256, user=given.user)
        argv = (*_interpreter(job.cmd, given, path), *given.args)
        return Process(id=job.id, argv=argv, settings=given, stdin=stdin.data, stdin_file=stdin.file, cmd=job.cmd)

    async def release(job_id: str) -> None:
        await asyncio.gather(files.release(job_id), inputs.release(job_id))

    return program_command(processes, prepare, release=release)


def _interpreter(cmd: str, given: ScriptArguments, path: Path) -> tuple[str, ...]:
    if cmd == PYTHON:
        return (*_PYTHON, str(path))
    if cmd == LUA:
        return (*_LUA, given.name or given.sha256[:_SHORT], str(path))
    return ("/bin/sh", str(path))
