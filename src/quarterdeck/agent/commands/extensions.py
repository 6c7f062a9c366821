"""Extensions: the commands that this node's configuration adds. Each runs one program, as `execute` does.

A template becomes one argument of the program, whatever is filled in: no shell is used, and a value never becomes two
arguments. A job fills the templates and sets the values that `SETTABLE` names; the program, its user, folder, variables
and limits are set only by the node.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from quarterdeck.agent.commands.command import Command, CommonArguments
from quarterdeck.agent.commands.execute import program_command
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.processes.supervised_process import Process
from quarterdeck.model.errors import BadConfig, BadInput
from quarterdeck.model.extensions import SETTABLE, ExtensionConfig, words
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.mismatch import in_words


def extension_commands(
    extensions: Mapping[str, ExtensionConfig], processes: Processes, templates: Templates, *, taken: Container[str]
) -> dict[str, Command]:
    """Return a command for each extension; raise `BadConfig` when one has a name in `taken`."""
    for name in extensions:
        if name in taken:
            raise BadConfig(
                f"agent.extensions.{name}: every agent has a command '{name}'.", hint="Choose another name."
            )
    return {name: _command(extension, processes, templates) for name, extension in extensions.items()}


def _command(extension: ExtensionConfig, processes: Processes, templates: Templates) -> Command:
    async def prepare(job: JobOffer) -> Process:
        return Process(
            id=job.id,
            argv=(templates.path(extension.binary), *argv(extension, job, templates)),
            settings=settings(extension, job, templates),
            stdin=job.data.encode(),
            cmd=job.cmd,
        )

    return program_command(processes, prepare)


def argv(extension: ExtensionConfig, job: JobOffer, templates: Templates) -> tuple[str, ...]:
    """Return the program's arguments; raise `BadInput` for a missing, unused or structured argument."""
    known = extension.names
    others = known | set(SETTABLE) | set(CommonArguments.__struct_fields__)
    for name in sorted(job.args.keys() - others):
        takes = ", ".join(sorted(known)) or "no arguments of its own"
        raise BadInput(f"{job.cmd} takes {takes}; found '{name}'.", hint="The node's configuration defines them.")
    return tuple(_filled(template, job, templates) for template in extension.args)


def settings(extension: ExtensionConfig, job: JobOffer, templates: Templates) -> ExtensionConfig:
    """Return the configuration with the values that the job may set; a name used in a template is not such a value."""
    env = {name: templates.template(value) for name, value in extension.env.items()}
    own = {name: job.args[name] for name in SETTABLE if name in job.args and name not in extension.names}
    try:
        return msgspec.convert(msgspec.to_builtins(extension) | {"env": env} | own, ExtensionConfig)
    except msgspec.ValidationError as error:
        raise BadInput(f"The arguments of {job.cmd} are not valid: {in_words(error, job.cmd)}.") from error


def _filled(template: str, job: JobOffer, templates: Templates) -> str:
    # folders are filled into the node's templates, not into a job's values
    return "".join(
        templates.template(text) + (_value(job, name, default) if name else "")
        for text, name, default in words(template)
    )


def _value(job: JobOffer, name: str, default: str | None) -> str:
    value: Any = job.args.get(name, default)
    match value:
        case None:
            raise BadInput(f"{job.cmd} needs the argument '{name}'.")
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            text = str(value)
            if "\0" in text:
                raise BadInput(f"The argument '{name}' of {job.cmd} holds a NUL, which no program can be passed.")
            return text
        case _:
            raise BadInput(f"The argument '{name}' of {job.cmd} is text or a number; found {value!r:.100}.")
