"""Programs of this node: the processes that the agent starts and supervises, and the services among them."""

from __future__ import annotations

from functools import partial

from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.assembly.telemetry import TelemetryParts
from quarterdeck.agent.placements import Placements
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.environment import Environment, Templates
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.services.services import Services
from quarterdeck.model.services import SERVICE, DesiredService


class ProgramParts:
    """Services are placed; other processes are started by commands."""

    def __init__(
        self,
        assembly: AgentAssembly,
        context: Context,
        *,
        cgroups: Cgroups,
        telemetry: TelemetryParts,
        placements: Placements,
    ) -> None:
        self.templates = Templates(context.home)
        self.processes = Processes(
            context.home / "processes",
            messages=telemetry.messages,
            environment=Environment(self.templates, who=context.who, node=context.name),
            measuring=Measuring(cgroups, feed=telemetry.stats.feed),
            cgroups=cgroups,
            usual=context.config.processes,
        )
        self.services = Services(
            context.home,
            processes=self.processes,
            templates=self.templates,
            allow=context.config.jobs.allow,
            changed=partial(placements.changed, SERVICE),
        )
        placements.register(SERVICE, DesiredService, self.services)
        assembly.parts.add("processes", run=self.processes.run, close=self.processes.close)
        assembly.parts.add("services", close=self.services.close)
