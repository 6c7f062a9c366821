"""Module instances that load nothing: what an agent without a kernel runs, for tests of everything around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quarterdeck.agent.work import Emit, Lose
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.modules import Artefact, InstanceState, InstanceStats, InstanceStatus


class MemoryInstances:
    """Every desired instance succeeds once its object has been fetched. An `InstancesFactory` by its constructor."""

    def __init__(
        self,
        *,
        emit: Emit,
        lose: Lose,
        artefacts: Callable[[Artefact], Awaitable[bytes]],
        changed: Callable[[], None],
        config: AgentConfig,
    ) -> None:
        self.emit = emit
        self.lose = lose
        self.config = config
        self.applied: list[DesiredSet] = []
        self.objects: dict[str, bytes] = {}  #: instance id → the bytes of its object
        self.closed = False
        self._artefacts = artefacts
        self._changed = changed

    async def apply(self, desired: DesiredSet) -> None:
        self.applied.append(desired)
        wanted = {instance.id: instance for instance in desired.instances}
        self.objects = {name: content for name, content in self.objects.items() if name in wanted}
        for instance in desired.instances:
            if instance.id not in self.objects:
                self.objects[instance.id] = await self._artefacts(instance.build.object)
        self._changed()

    def statuses(self) -> tuple[InstanceStatus, ...]:
        revision = self.applied[-1].revision if self.applied else 0
        return tuple(
            InstanceStatus(instance_id=name, state=InstanceState.SUCCEEDED, revision=revision) for name in self.objects
        )

    def stats(self) -> tuple[InstanceStats, ...]:
        return tuple(InstanceStats(instance_id=name) for name in self.objects)

    async def close(self) -> None:
        self.closed = True
