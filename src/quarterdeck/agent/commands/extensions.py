"""Extensions: the commands that this node's configuration adds. Each runs one program, as `execute` does.

A template is one argument of the program, whatever is filled in: there is no shell, and no value becomes two of them.
Whoever asks fills the templates and sets what `SETTABLE` names; the program, its user, folder, variables and limits
are the node's alone.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from quarterdeck.agent.commands.command import Command, CommonArguments
from quarterdeck.agent.commands.execute import program_command
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Process, Processes
from quarterdeck.model.errors import BadConfig, BadInput
from quarterdeck.model.extensions import SETTABLE, ExtensionConfig, words
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.mismatch import in_words


def extension_commands(
    extensions: Mapping[str, ExtensionConfig], processes: Processes, templates: Templates, *, taken: Container[str]
) -> dict[str, Command]:
    """A command for each of them. `BadConfig` when one has a name in `taken`."""
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
            argv=templates.fill_all((extension.binary,)) + argv(extension, job, templates),
            settings=settings(extension, job),
            stdin=job.data.encode(),
            cmd=job.cmd,
        )

    return program_command(processes, prepare)


def argv(extension: ExtensionConfig, job: JobOffer, templates: Templates) -> tuple[str, ...]:
    """What the program is passed; `BadInput` names an argument that is missing, not used, or no plain value."""
    known = extension.names
    others = known | set(SETTABLE) | set(CommonArguments.__struct_fields__)
    for name in sorted(job.args.keys() - others):
        takes = ", ".join(sorted(known)) or "no arguments of its own"
        raise BadInput(f"{job.cmd} takes {takes}; found '{name}'.", hint="Its node's configuration says what it takes.")
    return tuple(_filled(template, job, templates) for template in extension.args)


def settings(extension: ExtensionConfig, job: JobOffer) -> ExtensionConfig:
    """Those of the configuration, with what the command may set; a name that a template uses is the template's."""
    own = {name: job.args[name] for name in SETTABLE if name in job.args and name not in extension.names}
    try:
        return msgspec.convert(msgspec.to_builtins(extension) | own, ExtensionConfig)
    except msgspec.ValidationError as error:
        raise BadInput(f"What {job.cmd} was given does not fit: {in_words(error, job.cmd)}.") from error


def _filled(template: str, job: JobOffer, templates: Templates) -> str:
    # folders are put into what the node wrote, not into what it was asked
    return "".join(
        templates.fill(text) + (_value(job, name, default) if name else "") for text, name, default in words(template)
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
