"""Services: what is declared, what agents say of it, and how both are shown.

Owns the rule that a service belongs to one group and that what it comes after is declared too. Placing on nodes is the
work of `desired.py`. A report is taken only if it is of a set that was made, and no newer one was; what was not
reported on yet is WAITING, read from the numbers and not stored. With each connection of an agent its reports begin
anew.
"""

from __future__ import annotations

import difflib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import ServiceReport
from quarterdeck.model.errors import BadInput, Conflict, InUse, NoSuchNodes, NotFound, QuarterdeckError, TooLarge
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentIdentity, AgentState, NodeKey, Selector
from quarterdeck.model.services import (
    TEXT_LIMIT,
    AppliedServices,
    ApplyServices,
    Change,
    Service,
    ServiceChange,
    ServiceInfo,
    ServiceOnNode,
    ServiceState,
    ServiceStatus,
    ServiceWithNodes,
    check_order,
    differing,
)
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.desired import Desired
from quarterdeck.server.names import check_name
from quarterdeck.server.selection import pick
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state import nodes
from quarterdeck.store.state import services as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.nodes import Link
from quarterdeck.store.state.services import Reported, Shown, StoredService

log = logging.getLogger(__name__)

ServiceList = list[ServiceInfo]
Info = TypeVar("Info", bound=ServiceInfo)
#: the command of a node that stops a service and starts it anew
RESTART = "restart_service"
#: services of the fleet, and bytes of one of them: each travels with every desired set it is in
SERVICES_LIMIT, SERVICE_LIMIT_BYTES = 1000, 32 * 1024


class Asks(Protocol):
    """Where commands are asked for."""

    async def create(self, request: CreateCommand, actor: ApiToken) -> CommandWithJobs: ...


class _Report(NamedTuple):
    agent: AgentIdentity
    report: ServiceReport


class _Plan(NamedTuple):
    """What applying comes to."""

    saved: list[StoredService]
    removed: list[str]
    changes: dict[str, ServiceChange]


class Services:
    """Applies, shows, removes and restarts services, and takes reports of them."""

    def __init__(
        self,
        database: Database,
        *,
        desired: Desired,
        links: Links,
        commands: Asks,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._desired = desired
        self._links = links
        self._commands = commands
        self._clock = clock
        self._reports = Coalescer[_Report, None](self._store_reports)

    # ── what people ask ──────────────────────────────────────────────────────────────────────────────────────────────
    async def apply(self, request: ApplyServices, actor: ApiToken) -> AppliedServices:
        """Makes services what the request says, all of them or none. The same again changes nothing.

        `BadInput` (what one comes after), `Conflict` (a name of another group), `InUse` (another group's service comes
        after one that is to go), `TooLarge`. A selector that matches no node yet is none of these.
        """
        group = check_name(request.group, "group") if request.group else ""
        _check_sizes(request.services)
        async with self._database.write() as transaction:
            known = await rows.find_all(transaction)
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
                touched = await self._desired.place_services(transaction)
            changes = await _count_nodes(transaction, plan, after)
        await self._links.wake(touched)
        return AppliedServices(changes=changes, dry_run=request.dry_run)

    async def list(self) -> ServiceList:
        """Every service by name, with how many nodes are in each state."""
        async with self._database.read() as transaction:
            known = await rows.find_all(transaction)
            shown = await rows.find_shown(transaction)
        states: dict[str, Counter[ServiceState]] = {name: Counter() for name in known}
        for one in shown:
            if one.wanted and one.name in states:
                states[one.name][self._read(one).status.state] += 1
        return [_info(row, ServiceInfo, states=dict(states[row.name])) for row in known.values()]

    async def show(self, name: str) -> ServiceWithNodes:
        """One service with what it does on every node; those where it is to go too. `NotFound`."""
        async with self._database.read() as transaction:
            row = await _find(transaction, name)
            found = [self._read(one) for one in await rows.find_shown(transaction, name=name)]
        states = Counter(one.status.state for one in found if one.wanted)
        return _info(row, ServiceWithNodes, states=dict(states), nodes=tuple(found))

    async def remove(self, name: str) -> None:
        """The service ends everywhere. `InUse` while another comes after it; `NotFound`."""
        async with self._database.write() as transaction:
            await _find(transaction, name)
            left = {other: row for other, row in (await rows.find_all(transaction)).items() if other != name}
            _check_left([name], left)
            await rows.remove(transaction, [name])
            touched = await self._desired.place_services(transaction)
        await self._links.wake(touched)

    async def restart(self, name: str, named: Sequence[str], actor: ApiToken) -> CommandWithJobs:
        """Asks the nodes that run it, or those named of them, to stop it and start it anew. `NoSuchNodes`."""
        async with self._database.read() as transaction:
            await _find(transaction, name)
            wanted = [one for one in await rows.find_shown(transaction, name=name) if one.wanted]
        keys = pick({one.key: one.node_name for one in wanted}, named, missing=lambda text: _not_there(name, text))
        selector = Selector(nodes=tuple(sorted(map(str, keys))))
        return await self._commands.create(CreateCommand(cmd=RESTART, args={"name": name}, selector=selector), actor)

    # ── what agents say ──────────────────────────────────────────────────────────────────────────────────────────────
    async def reported(self, agent: AgentIdentity, report: ServiceReport) -> None:
        """An agent says what its services are doing. On disk when this returns."""
        await self._reports(_Report(agent, report))

    async def _store_reports(self, reports: Sequence[_Report]) -> Sequence[QuarterdeckError | None]:
        async with self._database.write() as transaction:
            links = await nodes.find_links(transaction, [report.agent.agent_id for report in reports])
            present = await rows.find_reported(transaction, [link.key for link in links.values()])
            statuses, gone = _weigh(reports, links, present)
            await rows.set_statuses(
                transaction, [(key, status) for (key, _), status in statuses.items()], now=self._clock()
            )
            await rows.forget(transaction, gone)
        return [None] * len(reports)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _plan(self, request: ApplyServices, known: Mapping[str, StoredService], *, group: str, actor: str) -> _Plan:
        """What becomes of each service that is named, and with `prune` of those of the group that are not."""
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

    def _read(self, shown: Shown) -> ServiceOnNode:
        """What is known of it now."""
        status = shown.status
        if status is None or status.revision < shown.revision:  # nothing was said yet of what is wanted now
            sent = self._desired.sent(shown.key) >= shown.revision
            doing = ServiceState.WAITING if shown.wanted or status is None else ServiceState.STOPPING
            status = ServiceStatus(
                name=shown.name,
                state=doing,
                revision=shown.revision,
                reason="The node's agent has not said yet what became of it." if sent else "The node was not told yet.",
            )
        if shown.agent_state is not AgentState.ONLINE:
            since = utc(shown.seen_at)
            notice = f"The node's agent is {shown.agent_state}, last heard at {since}."
            status = msgspec.structs.replace(status, reason=f"{notice} {status.reason}".strip())
        return ServiceOnNode(
            name=shown.name,
            gid=shown.key.gid,
            nid=shown.key.nid,
            node_name=shown.node_name,
            wanted=shown.wanted,
            status=status,
        )


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


def _not_there(name: str, named: str) -> NoSuchNodes:
    where = f"on '{named}'" if named else "on any node"
    return NoSuchNodes(f"The service '{name}' runs {where} by no selector.", hint="See `qd service show`.")


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
    """The changes by name, each with the number of nodes that its selector means now."""
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
        near = difflib.get_close_matches(name, list(await rows.find_all(transaction)), n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See `qd service ls`."
        raise NotFound(f"There is no service '{name}'.", hint=hint)
    return row


def _weigh(
    reports: Sequence[_Report], links: Mapping[str, Link], present: Mapping[NodeKey, Sequence[Reported]]
) -> tuple[dict[tuple[NodeKey, str], ServiceStatus], list[tuple[NodeKey, str]]]:
    """Which reports count: none of a set never made, none older than one taken, none of a replaced agent."""
    statuses: dict[tuple[NodeKey, str], ServiceStatus] = {}
    gone: dict[tuple[NodeKey, str], None] = {}
    for agent, report in reports:
        link = links.get(agent.agent_id)
        if link is None or report.revision > link.revision:
            continue
        said = {status.name: status for status in report.statuses}
        for row in present[link.key]:
            place, status = (link.key, row.name), said.get(row.name)
            if status is None:
                if not row.wanted and report.revision >= row.revision:
                    gone[place] = None
                    statuses.pop(place, None)
                continue
            newest = statuses.get(place, row.status)
            if status.revision <= report.revision and (newest is None or newest.revision <= status.revision):
                statuses[place] = _bounded(status)
    return statuses, list(gone)


def _bounded(status: ServiceStatus) -> ServiceStatus:
    """The status with no more in it than an honest agent has to say."""
    return msgspec.structs.replace(
        status,
        version=status.version[:TEXT_LIMIT],
        reason=status.reason[:TEXT_LIMIT],
        health=status.health[:TEXT_LIMIT],
    )
