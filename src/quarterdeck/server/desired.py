"""Desired sets: what each node should run by what the selectors of modules and services say, under a growing number.

`place` is the one rule from selectors to nodes: it is called in the transaction of whatever changed (a deploy, a file
of services, a label, a join) and changes the rows of exactly those instances and services, and the revisions of exactly
those nodes, that come out different. It never talks to an agent: the caller wakes the nodes that changed, after the
transaction.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.desired import DesiredInstance, DesiredSet
from quarterdeck.model.errors import NotFound
from quarterdeck.model.modules import ModuleState
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.services import DesiredService
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.store.state import instances, modules, nodes, services
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.instances import Wanted
from quarterdeck.store.state.modules import StoredModule
from quarterdeck.store.state.nodes import Placing
from quarterdeck.store.state.services import Placed, StoredService


class Desired:
    """Computes desired sets, and knows which revision each connected node was sent."""

    def __init__(self, database: Database, *, artefacts: Artefacts, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._artefacts = artefacts
        self._clock = clock
        self._sent: dict[NodeKey, int] = {}

    async def place(self, transaction: AsyncConnection, *, keys: Sequence[NodeKey] | None = None) -> set[NodeKey]:
        """Makes what these nodes (default: all) run what it should be; which nodes' sets are others than before."""
        placings = await nodes.find_placings(transaction, keys)
        touched = await self._place_modules(transaction, placings, keys=keys)
        touched |= await self._place_services(transaction, placings, keys=keys)
        return await _bump(transaction, touched)

    async def place_module(self, transaction: AsyncConnection, module_id: str) -> set[NodeKey]:
        """The same for one module on all nodes."""
        placings = await nodes.find_placings(transaction)
        return await _bump(transaction, await self._place_modules(transaction, placings, module_id=module_id))

    async def place_services(self, transaction: AsyncConnection) -> set[NodeKey]:
        """The same for all services on all nodes."""
        placings = await nodes.find_placings(transaction)
        return await _bump(transaction, await self._place_services(transaction, placings))

    async def of(self, key: NodeKey) -> DesiredSet:
        """The whole set of a node, about to be sent to it. `NotFound` when the node is gone."""
        async with self._database.read() as transaction:
            revision = await nodes.revision_of(transaction, key)
            if revision is None:
                raise NotFound(f"There is no node {key}.")
            wanted = await instances.find_desired(transaction, key)
            builds = await self._artefacts.builds(transaction, {row.digest for row in wanted})
            found = tuple(
                DesiredInstance(id=row.id, module_id=row.module_id, build=builds[row.digest], settings=row.settings)
                for row in wanted
            )
            kept = tuple(map(DesiredService.of, await services.find_desired(transaction, key)))
        self._sent[key] = revision
        return DesiredSet(revision=revision, instances=found, services=kept)

    def sent(self, key: NodeKey) -> int:
        """The revision that was last sent to the node over its present connection; 0 when none was."""
        return self._sent.get(key, 0)

    def forget(self, key: NodeKey) -> None:
        """The node is not connected any more."""
        self._sent.pop(key, None)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _place_modules(
        self,
        transaction: AsyncConnection,
        placings: Sequence[Placing],
        *,
        keys: Sequence[NodeKey] | None = None,
        module_id: str | None = None,
    ) -> set[NodeKey]:
        deployed = [
            module
            for module in await modules.find_all(transaction)
            if module.desire_state is ModuleState.DEPLOYED and module_id in (None, module.id)
        ]
        present = await instances.find_wanted(transaction, keys=keys, module_id=module_id)
        new, changed = _compare(deployed, placings, present)
        now = self._clock()
        await instances.add(transaction, new, now=now)
        await instances.change(transaction, changed, now=now)
        return {row.key for row in (*new, *changed)}

    async def _place_services(
        self, transaction: AsyncConnection, placings: Sequence[Placing], *, keys: Sequence[NodeKey] | None = None
    ) -> set[NodeKey]:
        declared = await services.find_all(transaction)
        present = await services.find_placed(transaction, keys)
        new, changed = _compare_services(list(declared.values()), placings, present)
        await services.place(transaction, new, changed, now=self._clock())
        return {row.key for row in (*new, *changed)}


async def _bump(transaction: AsyncConnection, touched: set[NodeKey]) -> set[NodeKey]:
    if touched:
        await nodes.bump_revisions(transaction, touched)
    return touched


def _compare(
    deployed: Sequence[StoredModule], placings: Sequence[Placing], present: Sequence[Wanted]
) -> tuple[list[Wanted], list[Wanted]]:
    """The instances to add and those to change, each with the revision that its node's set will then have."""
    known = {(row.module_id, row.key): row for row in present}
    revisions = {placing.key: placing.revision + 1 for placing in placings}
    new: list[Wanted] = []
    changed: list[Wanted] = []
    for module in deployed:
        for placing in placings:
            key = placing.key
            if not module.selector.matches(key, name=placing.name, labels=placing.labels):
                continue
            row = known.pop((module.id, key), None)
            wanted = Wanted(
                id=row.id if row is not None else str(uuid.uuid4()),
                module_id=module.id,
                gid=key.gid,
                nid=key.nid,
                digest=module.digest,
                settings=module.settings,
                desire_state=ModuleState.DEPLOYED,
                revision=revisions[key],
            )
            if row is None:
                new.append(wanted)
            elif row != wanted._replace(revision=row.revision):
                changed.append(wanted)
    changed += [
        row._replace(desire_state=ModuleState.UNDEPLOYED, revision=revisions[row.key])
        for row in known.values()
        if row.desire_state is ModuleState.DEPLOYED and row.key in revisions
    ]
    return new, changed


def _compare_services(
    declared: Sequence[StoredService], placings: Sequence[Placing], present: Sequence[Placed]
) -> tuple[list[Placed], list[Placed]]:
    """The services on nodes to add and those to change, as `_compare` does with instances."""
    known = {(row.name, row.key): row for row in present}
    revisions = {placing.key: placing.revision + 1 for placing in placings}
    new: list[Placed] = []
    changed: list[Placed] = []
    for service in declared:
        for placing in placings:
            key, selector = placing.key, service.body.selector
            if not selector.matches(key, name=placing.name, labels=placing.labels):
                continue
            row = known.pop((service.name, key), None)
            wanted = Placed(service.name, *key, service.version, wanted=True, revision=revisions[key])
            if row is None:
                new.append(wanted)
            elif row != wanted._replace(revision=row.revision):
                changed.append(wanted)
    changed += [
        row._replace(wanted=False, revision=revisions[row.key])
        for row in known.values()
        if row.wanted and row.key in revisions
    ]
    return new, changed
