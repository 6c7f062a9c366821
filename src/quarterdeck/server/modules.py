"""Modules: which exist, where they are deployed, and which tables they fill.

Owns the states of modules (`MODULE_TRANSITIONS`) and the rule that a table belongs to one module of the fleet.
It never compiles (the builder does) or places modules on nodes (`placement` does); `instances.py` shows what runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.errors import AlreadyExists, Conflict, InUse, NotFound, QuarterdeckError
from quarterdeck.model.modules import (
    MODULE,
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
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.instances import Instances
from quarterdeck.server.placement.placements import DESIRED_SETS, Placements
from quarterdeck.server.selection import choose
from quarterdeck.server.signals import Signals
from quarterdeck.server.tables import BUILT_IN
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


class Builder(Protocol):
    """Builds a module from the files that `sender` uploaded."""

    async def __call__(self, files: Mapping[str, bytes], *, sender: str) -> Built: ...


EnsureTable = Callable[[Table], Awaitable[None]]


class Modules:
    """Creates, deploys, undeploys and deletes modules. One change at a time."""

    def __init__(
        self,
        database: Database,
        *,
        artefacts: Artefacts,
        placements: Placements,
        instances: Instances,
        signals: Signals,
        builder: Builder,
        builtins: Builtins,
        ensure_table: EnsureTable,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._artefacts = artefacts
        self._placements = placements
        self._instances = instances
        self._signals = signals
        self._builder = builder
        self._builtins = builtins
        self._ensure_table = ensure_table
        self._clock = clock
        self._changing = asyncio.Lock()

    async def list(self) -> ModuleList:
        """Return every module, by name."""
        async with self._database.read() as transaction:
            found = await rows.find_all(transaction)
            builds = await self._artefacts.builds(transaction, [row.digest for row in found])
            return [_to_module(row, builds[row.digest]) for row in found]

    async def show(self, reference: str) -> Module:
        """Return a module by name or id; raise `NotFound`."""
        row = await self._find_or_register(reference)
        async with self._database.read() as transaction:
            return await self._module(transaction, row)

    async def instances(self, reference: str | None = None) -> InstanceList:
        """Return the instances of one module or of all, with their desired and actual states."""
        return await self._instances.list(None if reference is None else (await self._find_or_register(reference)).id)

    async def offline_nodes(self, tables: Collection[str]) -> Names:
        """Return the names of the nodes that should fill one of these tables and are not connected."""
        async with self._database.read() as transaction:
            deployed = [m for m in await rows.find_all(transaction) if m.desire_state is ModuleState.DEPLOYED]
            builds = await self._artefacts.builds(transaction, [row.digest for row in deployed])
            filling = [
                row.id for row in deployed if any(source.table.name in tables for source in builds[row.digest].sources)
            ]
            return list(await self._instances.offline_nodes(transaction, filling)) if filling else []

    async def create(self, request: CreateModule, *, sender: str) -> Module:
        """Build a module and store it. With `replace`, the new version runs wherever the old one is deployed.

        `sender` is the id of the token that sent it.

        Raise `AlreadyExists` when its name or one of its tables belongs to another module, the build's `BadManifest`,
        `BadProgram` or `BadTransform`, and with `replace` `BadSetting` when the old version is deployed with a setting
        that the new one does not have.
        """
        built = await self._builder(request.files, sender=sender)
        return await self._keep(built, replace=request.replace)

    async def deploy(self, reference: str, request: DeployModule) -> Module:
        """Run a module on the nodes that match, including those that join later. Repeating a deploy changes nothing.

        Its tables can be queried when this returns. Raise `NoSuchNodes` when no node matches now or a named one does
        not exist, and `BadSetting`.
        """
        await self._find_or_register(reference)
        async with self._changing:
            row = await self._find(reference)
            async with self._database.read() as transaction:
                build = (await self._module(transaction, row)).build
                await self._check_tables(transaction, build, module_id=row.id)
                choose(await nodes.find_placings(transaction), request.selector)
            check_settings(build.settings, request.settings)
            changed = row._replace(
                desire_state=MODULE_TRANSITIONS.check(row.desire_state, ModuleState.DEPLOYED),
                selector=request.selector,
                settings=request.settings,
            )
            await self._ensure_tables(build)
            return await self._change(row, changed)

    async def undeploy(self, reference: str) -> Module:
        """Stop a module on all nodes. Its rows in the telemetry store are kept."""
        async with self._changing:
            row = await self._find(reference)
            state = MODULE_TRANSITIONS.check(row.desire_state, ModuleState.UNDEPLOYED)
            return await self._change(row, row._replace(desire_state=state))

    async def delete(self, reference: str) -> None:
        """Delete a module; raise `InUse` while it is deployed."""
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
        if row.name in self._builtins.names():  # the built-in module of that name is available again
            await self._register(row.name)

    async def register_builtins(self) -> None:
        """Store every built-in module; a new version replaces the old one. One that cannot be built is skipped."""
        for name in self._builtins.names():
            try:
                await self._register(name)
            except QuarterdeckError as error:
                log.warning("the built-in module '%s' is left out: %s", name, error)

    # ── internals ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _find(self, reference: str) -> StoredModule:
        async with self._database.read() as transaction:
            row = await rows.find(transaction, reference)
            if row is not None:
                return row
            known = {module.name for module in await rows.find_all(transaction)} | set(self._builtins.names())
        hint = did_you_mean(nearest(reference, known), otherwise="See `qd module ls`.")
        raise NotFound(f"There is no module '{reference}'.", hint=hint)

    async def _find_or_register(self, reference: str) -> StoredModule:
        """Return the row of a module. A built-in one that was not registered yet is registered first."""
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
        """Store a built-in module, unless a user created another one with its name."""
        built = await self._builtins.load(name)
        async with self._database.read() as transaction:
            row = await rows.find(transaction, name)
        if row is None or row.builtin:
            await self._keep(built, replace=True, builtin=True)

    async def _keep(self, built: Built, *, replace: bool, builtin: bool = False) -> Module:
        """Store a build as a new module or as a module's new version."""
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
        """Return the module that replaces `row` with this build. A built-in one that was never used may be replaced."""
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
        """Replace `row` with `new` in one transaction, then wake the nodes whose desired sets changed."""
        touched: set[NodeKey] = set()
        async with self._database.write() as transaction:
            if row != await rows.find(transaction, new.id):
                raise Conflict(f"The module '{new.name}' was changed by another request.", hint="Try again.")
            if row != new:
                new = new._replace(last_update_time=self._clock())
                if built is not None:
                    await self._artefacts.add(transaction, built.build, built.artefacts)
                await (rows.add(transaction, new) if row is None else rows.change(transaction, new))
                touched = await self._placements.place_things(transaction, MODULE, [new.id])
                if built is not None:
                    await self._artefacts.prune(transaction)
            module = await self._module(transaction, new)
        self._signals.send(DESIRED_SETS, touched)
        return module

    async def _check_tables(
        self, transaction: AsyncConnection, build: Build, *, module_id: str, builtin: bool = False
    ) -> None:
        """Raise `AlreadyExists` when a table of the build belongs to the server or to another module.

        Built-in modules that were never used own no tables.
        """
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
