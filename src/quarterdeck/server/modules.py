"""Modules: what there is to deploy, what is deployed where, and the tables it fills.

Owns the states of modules (`MODULE_TRANSITIONS`) and the rule that a table belongs to one module of the fleet.
Compiling is the builder's work, placing on nodes that of `desired.py`, what agents say of it that of `instances.py`.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import AlreadyExists, Conflict, InUse, NotFound, QuarterdeckError
from quarterdeck.model.modules import (
    MODULE_TRANSITIONS,
    Build,
    CreateModule,
    DeployModule,
    Instance,
    Module,
    ModuleState,
)
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.model.tables import Table
from quarterdeck.modulekit.settings import check_settings
from quarterdeck.server.desired import Desired
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.instances import Instances
from quarterdeck.server.selection import no_match
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.tables import BUILT_IN
from quarterdeck.store.state import instances as instance_rows
from quarterdeck.store.state import modules as rows
from quarterdeck.store.state import nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.modules import StoredModule

log = logging.getLogger(__name__)

ModuleList = list[Module]
InstanceList = list[Instance]
Names = list[str]


class Built(Protocol):
    """A build and the bytes of its artefacts by sha256."""

    @property
    def build(self) -> Build: ...

    @property
    def artefacts(self) -> Mapping[str, bytes]: ...


class Builtins(Protocol):
    """The modules that come with the server."""

    def names(self) -> Sequence[str]: ...

    async def load(self, name: str) -> Built: ...


Builder = Callable[[Mapping[str, bytes]], Awaitable[Built]]
EnsureTable = Callable[[Table], Awaitable[None]]


class Modules:
    """Creates, deploys, undeploys and deletes modules. One change at a time."""

    def __init__(
        self,
        database: Database,
        *,
        artefacts: Artefacts,
        desired: Desired,
        instances: Instances,
        links: Links,
        builder: Builder,
        builtins: Builtins,
        ensure_table: EnsureTable,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._artefacts = artefacts
        self._desired = desired
        self._instances = instances
        self._links = links
        self._builder = builder
        self._builtins = builtins
        self._ensure_table = ensure_table
        self._clock = clock
        self._changing = asyncio.Lock()

    async def list(self) -> ModuleList:
        """Every module, by name."""
        async with self._database.read() as transaction:
            found = await rows.find_all(transaction)
            builds = await self._artefacts.builds(transaction, [row.digest for row in found])
            return [_to_module(row, builds[row.digest]) for row in found]

    async def show(self, reference: str) -> Module:
        """One module by name or id. `NotFound`."""
        row = await self._find_or_register(reference)
        async with self._database.read() as transaction:
            return await self._module(transaction, row)

    async def instances(self, reference: str | None = None) -> InstanceList:
        """Every instance, or those of one module, wanted and actual."""
        return await self._instances.list(None if reference is None else (await self._find_or_register(reference)).id)

    async def offline_nodes(self, tables: Collection[str]) -> Names:
        """The names of the nodes that should fill one of these tables and are not connected."""
        async with self._database.read() as transaction:
            deployed = [m for m in await rows.find_all(transaction) if m.desire_state is ModuleState.DEPLOYED]
            builds = await self._artefacts.builds(transaction, [row.digest for row in deployed])
            filling = [
                row.id for row in deployed if any(source.table.name in tables for source in builds[row.digest].sources)
            ]
            return await instance_rows.find_offline(transaction, filling) if filling else []

    async def create(self, request: CreateModule) -> Module:
        """Builds a module and keeps it. With `replace`, the new version runs wherever the old one does.

        `AlreadyExists` when its name or one of its tables is another's; `BadManifest`, `BadProgram`, `BadTransform`
        from the build; with `replace` also `BadSetting`, when the old version is deployed with a setting that this one
        has not.
        """
        built = await self._builder(request.files)
        return await self._keep(built, replace=request.replace)

    async def deploy(self, reference: str, request: DeployModule) -> Module:
        """Runs a module on the nodes that match, now and whenever one joins later.

        Its tables can be queried when this returns. `NoSuchNodes` when no node matches now, `BadSetting`. The same
        deploy again changes nothing.
        """
        await self._find_or_register(reference)
        async with self._changing:
            row = await self._find(reference)
            async with self._database.read() as transaction:
                build = (await self._module(transaction, row)).build
                await self._check_tables(transaction, build, module_id=row.id)
                await _check_selector(transaction, request.selector)
            check_settings(build.settings, request.settings)
            changed = row._replace(
                desire_state=MODULE_TRANSITIONS.check(row.desire_state, ModuleState.DEPLOYED),
                selector=request.selector,
                settings=request.settings,
            )
            await self._ensure_tables(build)
            return await self._change(row, changed)

    async def undeploy(self, reference: str) -> Module:
        """Stops a module everywhere. Its rows in the telemetry store stay."""
        async with self._changing:
            row = await self._find(reference)
            state = MODULE_TRANSITIONS.check(row.desire_state, ModuleState.UNDEPLOYED)
            return await self._change(row, row._replace(desire_state=state))

    async def delete(self, reference: str) -> None:
        """Forgets a module. `InUse` while it is deployed."""
        async with self._changing:
            row = await self._find(reference)
            if row.builtin:
                raise Conflict(f"The module '{row.name}' is built in; it can be undeployed, not deleted.")
            if row.desire_state is ModuleState.DEPLOYED:
                raise InUse(f"The module '{row.name}' is deployed.", hint=f"Run `qd module undeploy {row.name}` first.")
            MODULE_TRANSITIONS.check(row.desire_state, ModuleState.DELETED)
            async with self._database.write() as transaction:
                await rows.remove(transaction, row.id)
                await self._artefacts.prune(transaction)
        if row.name in self._builtins.names():  # ours is there again
            await self._register(row.name)

    async def register_builtins(self) -> None:
        """Keeps every built-in module; a new version replaces the old one. One that cannot be built is left out."""
        for name in self._builtins.names():
            try:
                await self._register(name)
            except QuarterdeckError as error:
                log.warning("the built-in module '%s' is left out: %s", name, error)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _find(self, reference: str) -> StoredModule:
        async with self._database.read() as transaction:
            row = await rows.find(transaction, reference)
            if row is not None:
                return row
            known = {module.name for module in await rows.find_all(transaction)} | set(self._builtins.names())
        near = difflib.get_close_matches(reference, sorted(known), n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See `qd module ls`."
        raise NotFound(f"There is no module '{reference}'.", hint=hint)

    async def _find_or_register(self, reference: str) -> StoredModule:
        """The row of a module. A built-in one that was not registered yet is registered first."""
        try:
            return await self._find(reference)
        except NotFound:
            if reference not in self._builtins.names():
                raise
        await self._register(reference)
        return await self._find(reference)

    async def _module(self, transaction: AsyncConnection, row: StoredModule) -> Module:
        return _to_module(row, (await self._artefacts.builds(transaction, [row.digest]))[row.digest])

    async def _register(self, name: str) -> None:
        """Keeps a built-in module, unless somebody made another of that name."""
        built = await self._builtins.load(name)
        async with self._database.read() as transaction:
            row = await rows.find(transaction, name)
        if row is None or row.builtin:
            await self._keep(built, replace=True, builtin=True)

    async def _keep(self, built: Built, *, replace: bool, builtin: bool = False) -> Module:
        """Stores a build as a new module or as a module's new version."""
        build = built.build
        async with self._changing:
            async with self._database.read() as transaction:
                row = await rows.find(transaction, build.manifest.name)
                await self._check_tables(transaction, build, module_id=row.id if row else "", builtin=builtin)
            new = self._succeed(row, build, replace=replace, builtin=builtin)
            if new.desire_state is ModuleState.DEPLOYED:
                check_settings(build.settings, new.settings)
                await self._ensure_tables(build)
            return await self._change(row, new, built=built)

    def _succeed(self, row: StoredModule | None, build: Build, *, replace: bool, builtin: bool) -> StoredModule:
        """The module that comes after `row` with this build. A built-in one that was never used makes way."""
        now = self._clock()
        if row is None:
            return StoredModule(
                id=str(uuid.uuid4()),
                name=build.manifest.name,
                digest=build.digest,
                builtin=builtin,
                desire_state=ModuleState.CREATED,
                selector=Selector(),
                settings={},
                create_time=now,
                last_update_time=now,
            )
        if not replace and not _unused_builtin(row):
            raise AlreadyExists(
                f"There is already a module named '{row.name}'.", hint="Make it a new version with --replace."
            )
        return row._replace(digest=build.digest, builtin=builtin)

    async def _change(self, row: StoredModule | None, new: StoredModule, *, built: Built | None = None) -> Module:
        """Makes `new` of `row` in one transaction, then wakes the nodes that should run something else."""
        touched: set[NodeKey] = set()
        async with self._database.write() as transaction:
            if row != await rows.find(transaction, new.id):
                raise Conflict(f"The module '{new.name}' was changed by someone else meanwhile.", hint="Try again.")
            if row != new:
                new = new._replace(last_update_time=self._clock())
                if built is not None:
                    await self._artefacts.add(transaction, built.build, built.artefacts)
                await (rows.add(transaction, new) if row is None else rows.change(transaction, new))
                touched = await self._desired.place_module(transaction, new.id)
                if built is not None:
                    await self._artefacts.prune(transaction)
            module = await self._module(transaction, new)
        await self._links.wake(touched)
        return module

    async def _check_tables(
        self, transaction: AsyncConnection, build: Build, *, module_id: str, builtin: bool = False
    ) -> None:
        """A table belongs to one module of the fleet. A built-in module that was never used lays no claim."""
        wanted = {source.table.name for source in build.sources}
        owners = {table.name: "the server" for table in BUILT_IN}
        others = [row for row in await rows.find_all(transaction) if row.id != module_id and not _unused_builtin(row)]
        builds = await self._artefacts.builds(transaction, [row.digest for row in others])
        for row in others:
            owners |= {source.table.name: f"module '{row.name}'" for source in builds[row.digest].sources}
        taken = sorted(wanted & owners.keys())
        if taken and not builtin:
            raise AlreadyExists(
                f"The table '{taken[0]}' of module '{build.manifest.name}' belongs to {owners[taken[0]]} already.",
                hint="Give it another name in module.toml: a table name is unique in the fleet.",
            )

    async def _ensure_tables(self, build: Build) -> None:
        for source in build.sources:
            await self._ensure_table(source.table)


def _unused_builtin(row: StoredModule) -> bool:
    return row.builtin and row.desire_state is ModuleState.CREATED


def _to_module(row: StoredModule, build: Build) -> Module:
    return Module(
        id=row.id,
        name=row.name,
        build=build,
        builtin=row.builtin,
        desire_state=row.desire_state,
        selector=row.selector,
        settings=row.settings,
        create_time=row.create_time,
        last_update_time=row.last_update_time,
    )


async def _check_selector(transaction: AsyncConnection, selector: Selector) -> None:
    """`NoSuchNodes` unless some node is meant."""
    placings = await nodes.find_placings(transaction)
    if any(selector.matches(p.key, name=p.name, labels=p.labels) for p in placings):
        return
    raise no_match(selector, joined=len(placings))
