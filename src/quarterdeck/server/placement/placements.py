"""The placements of every node, and the desired sets that follow from them.

`place` is the one rule from selectors to nodes: it is called in the transaction of whatever changed (a deploy, a file
of services, a label, a join) and changes exactly those placements, and the revisions of exactly those nodes, that come
out different. It never talks to an agent: the caller signals the nodes that changed, after the transaction. Nothing
else writes a desired set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import NotFound
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.placement.kind import Declared, Kind
from quarterdeck.server.signals import Signal
from quarterdeck.store.state import nodes
from quarterdeck.store.state import placements as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.nodes import Placing
from quarterdeck.store.state.placements import PlacementKey, WantedPlacement

#: nodes whose desired sets have changed, or should be sent anew
DESIRED_SETS = Signal("desired sets", NodeKey)
#: descriptions of things that are kept encoded; the nodes of a fleet are told the same ones
DESCRIPTIONS = 2048

_encode = msgspec.msgpack.Encoder().encode


class Placements:
    """Computes desired sets of all kinds, and knows which revision each connected node was sent."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._kinds: dict[str, Kind[Any]] = {}
        self._descriptions: dict[tuple[str, str, str], msgspec.Raw] = {}  # by kind, name and version
        self._sent: dict[NodeKey, int] = {}

    def register(self, kind: Kind[Any]) -> None:
        """Place things of this kind too, from now on."""
        self._kinds[kind.name] = kind

    def kind(self, name: str) -> Kind[Any] | None:
        """Return the kind of this name, if there is one."""
        return self._kinds.get(name)

    async def place(self, transaction: AsyncConnection, *, keys: Collection[NodeKey] | None = None) -> set[NodeKey]:
        """Place everything on these nodes (default: all). Return the nodes whose desired sets are others now."""
        placings = await nodes.find_placings(transaction, None if keys is None else list(keys))
        touched: set[NodeKey] = set()
        for kind in self._kinds.values():
            present = await rows.find(transaction, kind.name, keys=keys)
            declared = await kind.declared(transaction)
            touched |= await self._store(transaction, compare(kind.name, declared, placings, present))
        return await _bump(transaction, touched)

    async def place_things(self, transaction: AsyncConnection, kind: str, names: Collection[str]) -> set[NodeKey]:
        """Do the same for these things of one kind, on all nodes."""
        placings = await nodes.find_placings(transaction)
        present = await rows.find(transaction, kind, names=names)
        declared = [each for each in await self._kinds[kind].declared(transaction) if each.name in names]
        return await _bump(transaction, await self._store(transaction, compare(kind, declared, placings, present)))

    async def began_anew(self, transaction: AsyncConnection, keys: Collection[NodeKey]) -> None:
        """Forget what these nodes reported: an agent that connects, or takes another's place, reports everything."""
        await rows.clear_statuses(transaction, keys)

    # ── what nodes are told ──────────────────────────────────────────────────────────────────────────────────────────
    async def desired(self, key: NodeKey) -> DesiredSet:
        """Return the whole set of a node, about to be sent to it. Raise `NotFound` when the node is gone."""
        async with self._database.read() as transaction:
            revision = await nodes.revision_of(transaction, key)
            if revision is None:
                raise NotFound(f"There is no node {key}.")
            placements = await self._describe(transaction, await rows.find_on(transaction, key))
        self._sent[key] = revision
        return DesiredSet(revision=revision, placements=placements)

    async def due(self, key: NodeKey) -> DesiredSet | None:
        """Return the set to send to a connected node; None while it keeps a later one from a lost state."""
        async with self._database.read() as transaction:
            if await nodes.holds(transaction, key):
                return None
        return await self.desired(key)

    def sent(self, key: NodeKey) -> int:
        """Return the revision that was last sent to the node over its present connection; 0 when none was."""
        return self._sent.get(key, 0)

    def forget(self, key: NodeKey) -> None:
        """Forget what was sent to a node that is not connected any more."""
        self._sent.pop(key, None)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _store(
        self, transaction: AsyncConnection, compared: tuple[Sequence[WantedPlacement], Sequence[WantedPlacement]]
    ) -> set[NodeKey]:
        new, changed = compared
        now = self._clock()
        await rows.add(transaction, new, now=now)
        await rows.change(transaction, changed, now=now)
        return {row.node for row in (*new, *changed)}

    async def _describe(
        self, transaction: AsyncConnection, wanted: Sequence[WantedPlacement]
    ) -> dict[str, tuple[msgspec.Raw, ...]]:
        """Return the things by kind, each encoded: once for each version, as many nodes are told the same."""
        keys = [(row.kind, row.name, row.version) for row in wanted if row.kind in self._kinds]
        found = {key: self._descriptions[key] for key in keys if key in self._descriptions}
        missing: dict[str, dict[str, str]] = {}
        for kind, name, version in keys:
            if (kind, name, version) not in found:
                missing.setdefault(kind, {})[name] = version
        for kind, versions in missing.items():
            things = await self._kinds[kind].describe(transaction, versions)
            found |= {(kind, name, versions[name]): msgspec.Raw(_encode(thing)) for name, thing in things.items()}
        if len(self._descriptions) > DESCRIPTIONS:
            self._descriptions.clear()
        self._descriptions |= found
        placements: dict[str, list[msgspec.Raw]] = {}
        for key in keys:
            placements.setdefault(key[0], []).append(found[key])
        return {kind: tuple(things) for kind, things in placements.items()}


async def _bump(transaction: AsyncConnection, touched: set[NodeKey]) -> set[NodeKey]:
    if touched:
        await nodes.bump_revisions(transaction, touched)
    return touched


def compare(
    kind: str, declared: Sequence[Declared], placings: Sequence[Placing], present: Sequence[WantedPlacement]
) -> tuple[list[WantedPlacement], list[WantedPlacement]]:
    """Return the placements to add and those to change, each with the revision that its node's set will then have."""
    known = {row.key: row for row in present}
    revisions = {placing.key: placing.revision + 1 for placing in placings}
    new: list[WantedPlacement] = []
    changed: list[WantedPlacement] = []
    for thing, key in _matching(declared, placings):
        row = known.pop(PlacementKey(*key, kind, thing.name), None)
        wanted = WantedPlacement(*key, kind, thing.name, thing.version, wanted=True, revision=revisions[key])
        if row is None:
            new.append(wanted)
        elif row != wanted._replace(revision=row.revision):
            changed.append(wanted)
    changed += [
        row._replace(wanted=False, revision=revisions[row.node])
        for row in known.values()
        if row.wanted and row.node in revisions
    ]
    return new, changed


def _matching(declared: Sequence[Declared], placings: Sequence[Placing]) -> Iterator[tuple[Declared, NodeKey]]:
    for thing in declared:
        for placing in placings:
            if thing.selector.matches(placing.key, name=placing.name, labels=placing.labels):
                yield thing, placing.key
