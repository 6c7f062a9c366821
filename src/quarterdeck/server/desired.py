"""Desired sets: what each node should run by what the modules' selectors say, under a number that grows with changes.

`place` is the one rule from selectors to nodes: it is called in the transaction of whatever changed (a deploy, a label,
a join) and changes the rows of exactly those instances, and the revisions of exactly those nodes, that come out
different. It never talks to an agent: the caller wakes the nodes that changed, after the transaction.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.desired import DesiredInstance, DesiredSet
from quarterdeck.model.errors import NotFound
from quarterdeck.model.modules import ModuleState
from quarterdeck.server.artefacts import Artefacts
from quarterdeck.store.state import instances, modules, nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.instances import Wanted
from quarterdeck.store.state.modules import StoredModule
from quarterdeck.store.state.nodes import NodeKey, Placing


class Desired:
    """Computes desired sets, and knows which revision each connected node was sent."""

    def __init__(self, database: Database, *, artefacts: Artefacts, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._artefacts = artefacts
        self._clock = clock
        self._sent: dict[NodeKey, int] = {}

    async def place(
        self, transaction: AsyncConnection, *, keys: Sequence[NodeKey] | None = None, module_id: str | None = None
    ) -> set[NodeKey]:
        """Makes the instances of these nodes (default: all) and this module (default: all) what they should be.

        Returns the nodes whose desired sets are others than before.
        """
        placings = await nodes.find_placings(transaction, keys)
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
        touched = {row.key for row in (*new, *changed)}
        if touched:
            await nodes.bump_revisions(transaction, touched)
        return touched

    async def of(self, key: NodeKey) -> DesiredSet:
        """The whole set of a node, about to be sent to it. `NotFound` when the node is gone."""
        async with self._database.read() as transaction:
            revision = await nodes.revision_of(transaction, key)
            if revision is None:
                raise NotFound(f"There is no node {key.gid}/{key.nid}.")
            wanted = await instances.find_desired(transaction, key)
            builds = await self._artefacts.builds(transaction, {row.digest for row in wanted})
            found = tuple(
                DesiredInstance(id=row.id, module_id=row.module_id, build=builds[row.digest], settings=row.settings)
                for row in wanted
            )
        self._sent[key] = revision
        return DesiredSet(revision=revision, instances=found)

    def sent(self, key: NodeKey) -> int:
        """The revision that was last sent to the node over its present connection; 0 when none was."""
        return self._sent.get(key, 0)

    def forget(self, key: NodeKey) -> None:
        """The node is not connected any more."""
        self._sent.pop(key, None)


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
            if not module.selector.matches(gid=key.gid, nid=key.nid, name=placing.name, labels=placing.labels):
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
