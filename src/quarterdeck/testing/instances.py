"""Module instances that load nothing, for tests of an agent without a kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.modules import Artefact, DesiredInstance, InstanceState, InstanceStats, InstanceStatus


class MemoryInstances:
    """Instances that succeed as soon as their object has been fetched. The constructor is an `InstancesFactory`."""

    def __init__(
        self,
        *,
        outlet: Outlet,
        artefacts: Callable[[Artefact], Awaitable[bytes]],
        changed: Callable[[], None],
        config: AgentConfig,
    ) -> None:
        self.emit, self.lose = outlet.emit, outlet.lose
        self.config = config
        self.applied: list[tuple[DesiredInstance, ...]] = []
        self.revision = 0  #: revision of the last set that was applied
        self.objects: dict[str, bytes] = {}  #: instance id → the bytes of its object
        self.closed = False
        self._artefacts = artefacts
        self._changed = changed

    async def apply(self, wanted: Sequence[DesiredInstance], *, revision: int) -> None:
        self.applied.append(tuple(wanted))
        self.revision = revision
        names = {instance.id for instance in wanted}
        self.objects = {name: content for name, content in self.objects.items() if name in names}
        for instance in wanted:
            if instance.id not in self.objects:
                self.objects[instance.id] = await self._artefacts(instance.build.object)
        self._changed()

    def statuses(self) -> tuple[InstanceStatus, ...]:
        return tuple(
            InstanceStatus(instance_id=name, state=InstanceState.SUCCEEDED, revision=self.revision)
            for name in self.objects
        )

    def stats(self) -> tuple[InstanceStats, ...]:
        return tuple(InstanceStats(instance_id=name) for name in self.objects)

    def names(self) -> dict[str, str]:
        return {instance.id: instance.name for instance in self.applied[-1]} if self.applied else {}

    async def close(self) -> None:
        self.closed = True
