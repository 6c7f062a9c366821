"""Module instances: what agents say of them, against what is wanted, and how both are shown.

A report is taken only if no newer one was: by the revision of the desired set that the agent acted on. What was sent
and not yet reported on is IN_PROGRESS, what was not yet sent is INIT: both are read from the numbers, not stored, so
that no instance can be left in them. With each connection of an agent its reports begin anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from quarterdeck.link.messages import InstanceReport, StatsReport
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.modules import Instance, InstanceState, InstanceStats, InstanceStatus, ModuleState
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentIdentity, AgentState, NodeKey
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.desired import Desired
from quarterdeck.store.state import instances as rows
from quarterdeck.store.state import nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.instances import Reported, Shown
from quarterdeck.store.state.nodes import Link

Instances_ = list[Instance]
#: how long statistics wait for those of other agents, in seconds
STATS_LINGER_S = 1.0
#: lines kept of a verifier's log, from its end, where the reason stands
LOG_LINES = 400
#: characters kept of a line, and entries of a list, of what an agent says of an instance
TEXT_LIMIT, LIST_LIMIT = 2000, 1000


class _Report(NamedTuple):
    agent: AgentIdentity
    report: InstanceReport


class _Changes(NamedTuple):
    """What the reports of one round come to."""

    acted: dict[NodeKey, int]
    statuses: dict[str, InstanceStatus]
    stopped: set[str]


class Instances:
    """Takes reports and lists instances."""

    def __init__(self, database: Database, *, desired: Desired, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._desired = desired
        self._clock = clock
        self._reports = Coalescer[_Report, None](self._store_reports)
        self._stats = Coalescer[tuple[AgentIdentity, StatsReport], None](self._store_stats, linger_s=STATS_LINGER_S)

    async def reported(self, agent: AgentIdentity, report: InstanceReport) -> None:
        """An agent says what its instances are doing. On disk when this returns."""
        await self._reports(_Report(agent, report))

    async def counted(self, agent: AgentIdentity, report: StatsReport) -> None:
        """An agent says what its instances have cost."""
        await self._stats((agent, report))

    async def list(self, module_id: str | None = None) -> Instances_:
        """Every instance, or those of one module, with its status as it is to be read now."""
        async with self._database.read() as transaction:
            return [self._read(shown) for shown in await rows.find_shown(transaction, module_id=module_id)]

    def _read(self, shown: Shown) -> Instance:
        instance = shown.instance
        status = instance.status
        if status.revision < shown.revision:  # nothing was said yet of what is wanted now
            sent = self._desired.sent(instance.key) >= shown.revision
            state = InstanceState.IN_PROGRESS if sent else InstanceState.INIT
            status = InstanceStatus(
                instance_id=instance.id,
                state=state,
                revision=shown.revision,
                reason="The node's agent has not said yet what became of it.",
            )
        if shown.agent_state is not AgentState.ONLINE:
            since = utc(shown.seen_at)
            notice = f"The node's agent is {shown.agent_state}, last heard at {since}; it resumes when it is back."
            status = msgspec.structs.replace(status, reason=f"{notice} {status.reason}".strip())
        return msgspec.structs.replace(instance, status=status)

    async def _store_reports(self, reports: Sequence[_Report]) -> Sequence[QuarterdeckError | None]:
        async with self._database.write() as transaction:
            links = await nodes.find_links(transaction, [report.agent.agent_id for report in reports])
            present = await rows.find_reported(transaction, [link.key for link in links.values()])
            changes = _weigh(reports, links, present)
            now = self._clock()
            await nodes.set_acted(transaction, changes.acted)
            await rows.set_statuses(transaction, list(changes.statuses.values()), now=now)
            await rows.remove(transaction, changes.stopped)
        return [None] * len(reports)

    async def _store_stats(
        self, reports: Sequence[tuple[AgentIdentity, StatsReport]]
    ) -> Sequence[QuarterdeckError | None]:
        newest: dict[str, tuple[NodeKey, InstanceStats]] = {}
        for agent, report in reports:
            newest |= {stats.instance_id: (agent.key, stats) for stats in report.stats}
        async with self._database.write() as transaction:
            await rows.set_stats(transaction, newest)
        return [None] * len(reports)


def _weigh(reports: Sequence[_Report], links: dict[str, Link], present: dict[NodeKey, list[Reported]]) -> _Changes:
    """Which reports count: none older than one taken, none of a set never made, none of a replaced agent."""
    changes = _Changes({}, {}, set())
    for agent, report in reports:
        link = links.get(agent.agent_id)
        if link is None:
            continue
        if not changes.acted.get(link.key, link.acted_revision) <= report.revision <= link.revision:
            continue
        changes.acted[link.key] = report.revision
        said = {status.instance_id: status for status in report.statuses}
        for row in present[link.key]:
            status = said.get(row.id)
            if status is None:
                if row.desire_state is not ModuleState.DEPLOYED and report.revision >= row.revision:
                    changes.stopped.add(row.id)
                    changes.statuses.pop(row.id, None)
                continue
            newest = changes.statuses.get(row.id, row.status)
            if status.revision <= report.revision and (newest is None or newest.revision <= status.revision):
                changes.statuses[row.id] = _bounded(status)
    return changes


def _bounded(status: InstanceStatus) -> InstanceStatus:
    """The status with no more in it than an honest agent has to say: it is stored, and shown with every list."""
    return msgspec.structs.replace(
        status,
        reason=status.reason[:TEXT_LIMIT],
        log=tuple(line[:TEXT_LIMIT] for line in status.log[-LOG_LINES:]),
        dropped=tuple(
            msgspec.structs.replace(each, program=each.program[:TEXT_LIMIT], reason=each.reason[:TEXT_LIMIT])
            for each in status.dropped[:LIST_LIMIT]
        ),
        attached=tuple(each[:TEXT_LIMIT] for each in status.attached[:LIST_LIMIT]),
    )
