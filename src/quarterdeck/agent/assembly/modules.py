"""Modules on this node: their instances, and the reports on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from quarterdeck.agent.assembly.contents import ContentParts
from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.assembly.telemetry import TelemetryParts
from quarterdeck.agent.placements import Placements
from quarterdeck.agent.reports import RegularReport
from quarterdeck.columns.outlet import Outlet
from quarterdeck.link.messages import StatsReport
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.modules import MODULE, Artefact, DesiredInstance, InstanceStats, InstanceStatus


class Instances(Protocol):
    """The module instances of this node, as the agent uses them."""

    async def apply(self, wanted: Sequence[DesiredInstance], *, revision: int) -> None: ...

    def statuses(self) -> tuple[InstanceStatus, ...]: ...

    def stats(self) -> tuple[InstanceStats, ...]: ...

    def names(self) -> Mapping[str, str]: ...

    async def close(self) -> None: ...


class InstancesFactory(Protocol):
    """Creates the module instances. `changed` is called, from any thread, when a status has changed."""

    def __call__(
        self,
        *,
        outlet: Outlet,
        artefacts: Callable[[Artefact], Awaitable[bytes]],
        changed: Callable[[], None],
        config: AgentConfig,
    ) -> Instances: ...


class ModuleParts:
    """The instances that `factory` makes are placed."""

    def __init__(
        self,
        assembly: AgentAssembly,
        context: Context,
        *,
        factory: InstancesFactory,
        telemetry: TelemetryParts,
        contents: ContentParts,
        placements: Placements,
    ) -> None:
        self.instances = factory(
            outlet=telemetry.outlet,
            artefacts=contents.artefacts.get,
            changed=partial(placements.changed, MODULE),
            config=context.config,
        )
        placements.register(MODULE, DesiredInstance, self.instances)
        assembly.parts.add("modules", close=self.instances.close)
        assembly.topics.append(RegularReport(self._stats, interval_s=context.config.stats_interval_s))

    def _stats(self) -> StatsReport | None:
        stats = self.instances.stats()
        return StatsReport(stats=stats) if stats else None
