"""Jobs of this node, and all commands that they may run."""

from __future__ import annotations

from collections.abc import Mapping

from quarterdeck.agent.assembly.contents import ContentParts
from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.assembly.programs import ProgramParts
from quarterdeck.agent.assembly.telemetry import TelemetryParts
from quarterdeck.agent.commands.builtin import builtin_names
from quarterdeck.agent.commands.command import Command
from quarterdeck.agent.commands.configuration import configuration_commands
from quarterdeck.agent.commands.execute import execute_command
from quarterdeck.agent.commands.extensions import extension_commands
from quarterdeck.agent.commands.files import FileCommands
from quarterdeck.agent.commands.messages import message_commands
from quarterdeck.agent.commands.processes import process_commands
from quarterdeck.agent.commands.scripts import script_commands
from quarterdeck.agent.commands.standard_input import StandardInputs
from quarterdeck.agent.jobs.jobs import Jobs
from quarterdeck.agent.scripts.files import ScriptFiles


class JobParts:
    """A command is registered in `_commands`, or among those that are built in if it needs none of these parts."""

    def __init__(
        self,
        assembly: AgentAssembly,
        context: Context,
        *,
        contents: ContentParts,
        telemetry: TelemetryParts,
        programs: ProgramParts,
    ) -> None:
        processes, templates = programs.processes, programs.templates
        self._files = FileCommands(
            fetches=contents.fetches, offers=contents.offers, fill=templates.path, who=context.who
        )
        inputs = StandardInputs(processes, context.home / "inputs", fetch=contents.fetches.file)
        commands = self._commands(context, inputs, contents=contents, telemetry=telemetry, programs=programs)
        taken = builtin_names() | commands.keys()
        self.jobs = Jobs(
            context.home,
            config=context.config.jobs,
            commands={**commands, **extension_commands(context.config.extensions, processes, templates, taken=taken)},
            noted=processes.release,
            recovered=processes.judge_jobs,
            unfinished=inputs.recovered,
            end_unknown=processes.end_unknown,
        )
        assembly.parts.add("jobs", run=self.jobs.run, close=self.jobs.close)
        assembly.parts.add("files", close=self._files.close)
        assembly.topics.append(self.jobs)

    def _commands(
        self,
        context: Context,
        inputs: StandardInputs,
        *,
        contents: ContentParts,
        telemetry: TelemetryParts,
        programs: ProgramParts,
    ) -> Mapping[str, Command]:
        processes = programs.processes
        sources = ScriptFiles(context.home / "scripts", fetch=contents.artefacts.path)
        return {
            "execute": execute_command(processes, programs.templates, inputs),
            **process_commands(processes),
            **programs.services.commands(),
            **message_commands(telemetry.messages),
            **script_commands(processes, sources, inputs),
            **self._files.commands(),
            **configuration_commands(context.config),
        }
