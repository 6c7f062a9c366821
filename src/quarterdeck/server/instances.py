"""Module instances: modules as a kind of placement, what they have cost, and how both are shown."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import StatsReport
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import (
    MODULE,
    DesiredInstance,
    Instance,
    InstanceState,
    InstanceStats,
    InstanceStatus,
    ModuleState,
)
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.placement.kind import Declared
from quarterdeck.server.placement.reports import PlacementReports
from quarterdeck.store.state import modules, placements
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.placements import PlacementKey, StoredPlacement

Instances_ = list[Instance]
#: how long statistics wait for those of other agents, in seconds
STATS_LINGER_S = 1.0


class ModuleKind:
    """Modules as a kind of placement. The name of a placement is the module's id."""

    name = MODULE
    status = InstanceStatus

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts

    async def declared(self, transaction: AsyncConnection) -> Sequence[Declared]:
        """Return the deployed modules."""
        return [
            Declared(module.id, version_of(module.digest, module.settings), module.selector)
            for module in await modules.find_all(transaction)
            if module.desire_state is ModuleState.DEPLOYED
        ]

    async def describe(
        self, transaction: AsyncConnection, versions: Mapping[str, str]
    ) -> Mapping[str, DesiredInstance]:
        """Return each module with its build and its settings."""
        found = [module for module in await modules.find_all(transaction) if module.id in versions]
        builds = await self._artefacts.builds(transaction, [module.digest for module in found])
        return {
            module.id: DesiredInstance.of(builds[module.digest], id=module.id, settings=module.settings)
            for module in found
        }

    def name_of(self, status: InstanceStatus) -> str:
        """Return the id of the module."""
        return status.instance_id

    def unreported(self, placement: StoredPlacement, *, sent: bool) -> InstanceStatus:
        """Return IN_PROGRESS for what was sent, INIT for what was not."""
        state = InstanceState.IN_PROGRESS if sent else InstanceState.INIT
        return InstanceStatus(instance_id=placement.key.name, state=state, revision=placement.revision)


class Instances:
    """Lists instances, and takes what they have cost."""

    def __init__(self, database: Database, *, kind: ModuleKind, reports: PlacementReports) -> None:
        self._database = database
        self._kind = kind
        self._reports = reports
        self._stats = Coalescer[tuple[AgentIdentity, StatsReport], None](self._store_stats, linger_s=STATS_LINGER_S)

    async def counted(self, agent: AgentIdentity, report: StatsReport) -> None:
        """Take what an agent says that its instances have cost."""
        await self._stats((agent, report))

    async def list(self, module_id: str | None = None) -> Instances_:
        """Return every instance, or those of one module, in the order of modules and nodes."""
        async with self._database.read() as transaction:
            names = {module.id: module.name for module in await modules.find_all(transaction)}
            found = await self._reports.find(transaction, self._kind, name=module_id)
        instances = [_to_instance(row, status, names[row.key.name]) for row, status in found if row.key.name in names]
        return sorted(instances, key=lambda instance: (instance.module_name, instance.key))

    async def offline_nodes(self, transaction: AsyncConnection, module_ids: Sequence[str]) -> Sequence[str]:
        """Return the names of the nodes that should run one of these modules and whose agents are not ONLINE."""
        return await placements.find_offline(transaction, MODULE, module_ids)

    async def _store_stats(
        self, reports: Sequence[tuple[AgentIdentity, StatsReport]]
    ) -> Sequence[QuarterdeckError | None]:
        newest = {
            PlacementKey(agent.gid, agent.nid, MODULE, stats.instance_id): msgspec.json.encode(stats).decode()
            for agent, report in reports
            for stats in report.stats
        }
        async with self._database.write() as transaction:
            await placements.set_stats(transaction, newest)
        return [None] * len(reports)


def version_of(digest: str, settings: Mapping[str, SettingValue]) -> str:
    """Return what names a build with these settings."""
    return hashlib.sha256(msgspec.json.encode([digest, settings], order="deterministic")).hexdigest()


def instance_id(module_id: str, key: NodeKey) -> str:
    """Return the id of a module's instance on a node: the same whenever the module is there."""
    return str(uuid.uuid5(uuid.UUID(module_id), str(key)))


def _to_instance(row: StoredPlacement, status: InstanceStatus, module_name: str) -> Instance:
    key = row.key.node
    named = instance_id(row.key.name, key)
    stats = None if row.stats is None else msgspec.json.decode(row.stats, type=InstanceStats)
    return Instance(
        id=named,
        module_id=row.key.name,
        module_name=module_name,
        gid=key.gid,
        nid=key.nid,
        node_name=row.node_name,
        agent_id=row.agent_id,
        desire_state=ModuleState.DEPLOYED if row.wanted else ModuleState.UNDEPLOYED,
        status=msgspec.structs.replace(status, instance_id=named),
        stats=None if stats is None else msgspec.structs.replace(stats, instance_id=named),
        create_time=row.create_time,
        last_update_time=row.last_update_time,
    )
