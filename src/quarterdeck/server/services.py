"""Services: what is declared, what nodes make of it, and how both are shown.

Owns the rule that a service belongs to one group and that what it comes after is declared too. Placing on nodes and
what agents report is the work of `placement`, where services are a kind.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.errors import BadInput, Conflict, InUse, NoSuchNodes, NotFound, TooLarge
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.model.selection import nearest_hint, pick, quoted
from quarterdeck.model.services import (
    SERVICE,
    AppliedServices,
    ApplyServices,
    Change,
    DesiredService,
    Service,
    ServiceChange,
    ServiceInfo,
    ServiceOnNode,
    ServiceState,
    ServiceStatus,
    ServiceWithNodes,
    check_order,
    differing,
    notes_on,
)
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.names import check_name
from quarterdeck.server.placement.kind import Declared
from quarterdeck.server.placement.placements import DESIRED_SETS, Placements
from quarterdeck.server.placement.reports import PlacementReports
from quarterdeck.server.selection import check_names
from quarterdeck.server.signals import Signals
from quarterdeck.store.state import nodes
from quarterdeck.store.state import services as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.placements import StoredPlacement
from quarterdeck.store.state.services import StoredService

log = logging.getLogger(__name__)

ServiceList = list[ServiceInfo]
OnNodes = Sequence[ServiceOnNode]
Info = TypeVar("Info", bound=ServiceInfo)
#: the command of a node that stops a service and starts it anew
RESTART = "restart_service"
#: services of the fleet, and bytes of one of them: each travels with every desired set it is in
SERVICES_LIMIT, SERVICE_LIMIT_BYTES = 1000, 32 * 1024


class Asks(Protocol):
    """Creates commands."""

    async def create(self, request: CreateCommand, actor: ApiToken) -> CommandWithJobs: ...


class _Plan(NamedTuple):
    """The result of applying a file."""

    saved: list[StoredService]
    removed: list[str]
    changes: dict[str, ServiceChange]


class ServiceKind:
    """Services as a kind of placement."""

    name = SERVICE
    status = ServiceStatus

    async def declared(self, transaction: AsyncConnection) -> Sequence[Declared]:
        """Return every service."""
        known = await rows.find_all(transaction)
        return [Declared(row.name, row.version, row.body.selector) for row in known.values()]

    async def describe(self, transaction: AsyncConnection, versions: Mapping[str, str]) -> Mapping[str, DesiredService]:
        """Return each service with the settings that a node needs."""
        known = await rows.find_all(transaction)
        return {name: DesiredService.of(known[name].body) for name in versions.keys() & known.keys()}

    def name_of(self, status: ServiceStatus) -> str:
        """Return the name of the service."""
        return status.name

    def unreported(self, placement: StoredPlacement, *, sent: bool) -> ServiceStatus:  # noqa: ARG002
        """Return WAITING, or STOPPING for what is to go and was there."""
        here = placement.wanted or placement.status is None
        state = ServiceState.WAITING if here else ServiceState.STOPPING
        return ServiceStatus(name=placement.key.name, state=state, revision=placement.revision)


class Services:
    """Applies, shows, removes and restarts services."""

    def __init__(
        self,
        database: Database,
        *,
        kind: ServiceKind,
        placements: Placements,
        reports: PlacementReports,
        signals: Signals,
        commands: Asks,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._kind = kind
        self._placements = placements
        self._reports = reports
        self._signals = signals
        self._commands = commands
        self._clock = clock

    # ── what people ask ──────────────────────────────────────────────────────────────────────────────────────────────
    async def apply(self, request: ApplyServices, actor: ApiToken) -> AppliedServices:
        """Apply the services of the request, all or none. Applying the same again changes nothing.

        `BadInput` (what one comes after), `Conflict` (a name of another group), `InUse` (another group's service comes
        after one that is to go), `NoSuchNodes` (a node that is named and not there), `TooLarge`. Labels that no node
        has yet are none of these.
        """
        group = check_name(request.group, "group") if request.group else ""
        if request.prune and not (request.services or group):
            raise BadInput(
                "The request names no service and no group, which would end all services without a group.",
                hint="Remove services by their names, or name the group to remove.",
            )
        _check_sizes(request.services)
        async with self._database.write() as transaction:
            known = await rows.find_all(transaction)
            named = [service.selector for service in request.services if service.selector.nodes]
            every = await nodes.find_placings(transaction) if named else ()
            for selector in named:
                check_names(every, selector)
            plan = self._plan(request, known, group=group, actor=actor.name)
            after = {name: row for name, row in known.items() if name not in plan.removed}
            after |= {row.name: row for row in plan.saved}
            _check_left(plan.removed, after)
            check_order({name: row.body for name, row in after.items()})
            if len(after) > SERVICES_LIMIT:
                raise TooLarge(f"A fleet has at most {SERVICES_LIMIT} services; these would make {len(after)}.")
            touched: set[NodeKey] = set()
            if not request.dry_run and (plan.saved or plan.removed):
                await rows.remove(transaction, plan.removed)
                await rows.save(transaction, plan.saved)
                changed = [*plan.removed, *(row.name for row in plan.saved)]
                touched = await self._placements.place_things(transaction, SERVICE, changed)
            changes = await _count_nodes(transaction, plan, after)
        self._signals.send(DESIRED_SETS, touched)
        notes = tuple(note for service in request.services for note in notes_on(service))
        return AppliedServices(changes=changes, dry_run=request.dry_run, notes=notes)

    async def list(self) -> ServiceList:
        """Every service by name, with how many nodes are in each state."""
        async with self._database.read() as transaction:
            known = await rows.find_all(transaction)
            placed = await self._on_nodes(transaction)
        nodes: dict[str, list[ServiceOnNode]] = {name: [] for name in known}
        for one in placed:
            if one.wanted and one.name in nodes:
                nodes[one.name].append(one)
        return [_info(row, ServiceInfo, **_summary(nodes[row.name])) for row in known.values()]

    async def on_nodes(self) -> OnNodes:
        """Return every service on every node, in the order of names and nodes."""
        async with self._database.read() as transaction:
            return await self._on_nodes(transaction)

    async def show(self, name: str) -> ServiceWithNodes:
        """Return one service with its status on every node, including nodes that are to end it; raise `NotFound`."""
        async with self._database.read() as transaction:
            row = await _find(transaction, name)
            found = await self._on_nodes(transaction, name)
        return _info(row, ServiceWithNodes, **_summary([one for one in found if one.wanted]), nodes=tuple(found))

    async def remove(self, name: str) -> None:
        """Remove a service from all nodes; raise `InUse` while another starts after it, and `NotFound`."""
        async with self._database.write() as transaction:
            await _find(transaction, name)
            left = {other: row for other, row in (await rows.find_all(transaction)).items() if other != name}
            _check_left([name], left)
            await rows.remove(transaction, [name])
            touched = await self._placements.place_things(transaction, SERVICE, [name])
        self._signals.send(DESIRED_SETS, touched)

    async def restart(self, name: str, named: Sequence[str], actor: ApiToken) -> CommandWithJobs:
        """Restart the service on the nodes that run it, or on the named ones of them; raise `NoSuchNodes`."""
        async with self._database.read() as transaction:
            await _find(transaction, name)
            wanted = [one for one in await self._on_nodes(transaction, name) if one.wanted]
        there = {NodeKey(one.gid, one.nid): one.node_name for one in wanted}
        keys = pick(there, named, missing=lambda names: _not_there(name, names, there.values()))
        selector = Selector(nodes=tuple(sorted(map(str, keys))))
        return await self._commands.create(CreateCommand(cmd=RESTART, args={"name": name}, selector=selector), actor)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _on_nodes(self, transaction: AsyncConnection, name: str | None = None) -> Sequence[ServiceOnNode]:
        """Return every service on every node, or one, in the order of names and nodes."""
        return [
            ServiceOnNode(
                name=row.key.name,
                gid=row.key.gid,
                nid=row.key.nid,
                node_name=row.node_name,
                wanted=row.wanted,
                status=status,
            )
            for row, status in await self._reports.find(transaction, self._kind, name=name)
        ]

    def _plan(self, request: ApplyServices, known: Mapping[str, StoredService], *, group: str, actor: str) -> _Plan:
        """Return the change of each named service, and with `prune` of the others of the group."""
        plan = _Plan([], [], {})
        now = self._clock()
        for service in request.services:
            if service.name in plan.changes:
                raise BadInput(f"The service '{service.name}' is there twice.")
            row = known.get(service.name)
            if row is not None and row.group != group:
                raise Conflict(
                    f"The service '{row.name}' belongs to {_of(row.group)}, not to {_of(group)}.",
                    hint="Choose another name, or apply it with its own group.",
                )
            fields = () if row is None else differing(row.body, service)
            change = Change.ADDED if row is None else Change.CHANGED if fields else Change.UNCHANGED
            plan.changes[service.name] = ServiceChange(name=service.name, change=change, fields=fields)
            if change is not Change.UNCHANGED:
                made = now if row is None else row.create_time
                plan.saved.append(StoredService(service.name, group, service.version, service, actor, made, now))
        if request.prune:
            plan.removed.extend(name for name, row in known.items() if row.group == group and name not in plan.changes)
            plan.changes.update((name, ServiceChange(name=name, change=Change.REMOVED)) for name in plan.removed)
        return plan


def _summary(nodes: Sequence[ServiceOnNode]) -> dict[str, Any]:
    """Return a summary of its state on all of them in few words."""
    unwell = [one for one in nodes if one.status.reason and one.status.state is not ServiceState.STOPPED]
    reason = f"{unwell[0].node_name}: {unwell[0].status.reason}" if unwell else ""
    return {"states": dict(Counter(one.status.state for one in nodes)), "reason": reason}


def _info(row: StoredService, kind: type[Info], **more: Any) -> Info:
    return kind(
        service=row.body,
        version=row.version,
        group=row.group,
        actor=row.actor,
        create_time=row.create_time,
        last_update_time=row.last_update_time,
        **more,
    )


def _of(group: str) -> str:
    return f"the group '{group}'" if group else "no group"


def _not_there(name: str, named: Sequence[str], known: Iterable[str]) -> NoSuchNodes:
    where = f"on {quoted(named)}" if named else "on any node"
    hint = nearest_hint(named, known, otherwise="See `qd service show`.")
    return NoSuchNodes(f"The service '{name}' runs {where} by no selector.", hint=hint)


def _check_sizes(services: Sequence[Service]) -> None:
    for service in services:
        try:
            size = len(msgspec.json.encode(service))
        except UnicodeEncodeError as error:
            raise BadInput(f"The service '{service.name}' holds text that is no Unicode: {error}.") from error
        if size > SERVICE_LIMIT_BYTES:
            raise TooLarge(f"A service takes at most {SERVICE_LIMIT_BYTES} bytes; '{service.name}' takes {size}.")


def _check_left(removed: Sequence[str], left: Mapping[str, StoredService]) -> None:
    """`InUse` when a service that stays comes after one that is to go."""
    for row in left.values():
        for name in row.body.after:
            if name in removed:
                raise InUse(
                    f"The service '{row.name}' comes after '{name}'.",
                    hint=f"Remove '{row.name}' first, or take '{name}' out of its `after`.",
                )


async def _count_nodes(
    transaction: AsyncConnection, plan: _Plan, after: Mapping[str, StoredService]
) -> tuple[ServiceChange, ...]:
    """Return the changes by name, each with the number of nodes that its selector matches."""
    placings = await nodes.find_placings(transaction)
    counted: list[ServiceChange] = []
    for name, change in sorted(plan.changes.items()):
        selector = after[name].body.selector if name in after else None
        meant = selector is not None and sum(selector.matches(p.key, name=p.name, labels=p.labels) for p in placings)
        counted.append(msgspec.structs.replace(change, nodes=int(meant)))
    return tuple(counted)


async def _find(transaction: AsyncConnection, name: str) -> StoredService:
    row = await rows.find(transaction, name)
    if row is None:
        hint = did_you_mean(nearest(name, await rows.find_all(transaction)), otherwise="See `qd service ls`.")
        raise NotFound(f"There is no service '{name}'.", hint=hint)
    return row
