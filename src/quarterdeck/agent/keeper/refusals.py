"""The reasons of failed starts, in words that name what is missing and say what to do."""

from __future__ import annotations

import errno

#: of what stands between the keeper and the program; those of folder and program are said below
_STAGES = {
    "cgroup": "its cgroup cannot be made or entered",
    "process": "no process can be made for it",
    "session": "it gets no session of its own",
    "user": "it cannot become that user",
    "input": "the file that is its standard input cannot be opened",
}
_STAGE_HINTS = {
    "process": "The host has too many processes or too little memory, or limits the agent's.",
    "user": "Only an agent that runs as root can start programs as another user.",
}
_PROGRAM_HINTS = {
    errno.EACCES: "A program is a file with the right to be executed (`chmod +x`), in folders that its user may enter.",
    errno.ENOEXEC: "It is neither a program for this machine nor a script with a first line such as `#!/bin/sh`.",
    errno.E2BIG: "Its arguments and its environment are too long; give it what is long in `data`, its standard input.",
    errno.EAGAIN: _STAGE_HINTS["process"],
    errno.ENOMEM: _STAGE_HINTS["process"],
}


def refusal(program: str, folder: str, stage: str, *, number: int, why: str) -> tuple[str, str]:
    """Return the error with a hint. `stage`, `number` (errno) and `why` are the keeper's."""
    if stage == "folder":
        return f"The folder '{folder}' cannot be entered: {why}.", "Make it, or name another in `workingdir`."
    if stage != "program":
        what = _STAGES.get(stage, stage)
        return f"'{program}' cannot be started, as {what}: {why}.", _STAGE_HINTS.get(stage, "")
    if number != errno.ENOENT:
        return f"'{program}' cannot be started: {why}.", _PROGRAM_HINTS.get(number, "")
    if "/" not in program:
        return f"There is no program '{program}' on this node's PATH.", "Install it, or give its full path."
    missing = f"There is no program '{program}' on this node, or no interpreter that its first line names."
    return missing, "Install it, or correct its path."
