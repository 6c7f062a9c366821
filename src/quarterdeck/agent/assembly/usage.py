"""The usage of this node: of its host, and of the modules that run on it."""

from __future__ import annotations

from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.assembly.modules import Instances, ModuleParts
from quarterdeck.agent.assembly.telemetry import TelemetryParts
from quarterdeck.agent.usage.collectors import InstanceUse
from quarterdeck.agent.usage.usage import Usage


class UsageParts:
    """The agent sends the measurements as telemetry. It measures nothing if the interval is 0."""

    def __init__(
        self, assembly: AgentAssembly, context: Context, *, telemetry: TelemetryParts, modules: ModuleParts
    ) -> None:
        config = context.config.usage
        if config.interval_s:
            usage = Usage(config, outlet=telemetry.outlet, instances=lambda: _uses(modules.instances))
            assembly.parts.add("usage", run=usage.run)


def _uses(instances: Instances) -> list[InstanceUse]:
    names = instances.names()
    since = {each.instance_id: each.since for each in instances.statuses()}
    return [
        InstanceUse(module=names[each.instance_id], since=since[each.instance_id], stats=each)
        for each in instances.stats()
    ]
