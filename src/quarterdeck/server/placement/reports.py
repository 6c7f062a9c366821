"""Reports of agents on what is placed on their nodes, taken and presented, the same way for every kind.

A report is taken only if it is of a set that was made, and no newer one was taken. What was sent and not yet reported
on, or not yet sent, is read from the numbers and not stored, so that nothing can be left in such a state. With each
connection of an agent its reports begin anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import PlacementReport
from quarterdeck.model.errors import BadFrame, QuarterdeckError
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentIdentity, AgentState, NodeKey
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.placement.kind import Kind
from quarterdeck.server.placement.placements import Placements
from quarterdeck.store.state import nodes
from quarterdeck.store.state import placements as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.nodes import Link
from quarterdeck.store.state.placements import PlacementKey, Report, ReportedPlacement, StoredPlacement

log = logging.getLogger(__name__)

#: characters kept of a text, and last entries of a list, of what an agent reports of one thing
TEXT_LIMIT, LIST_LIMIT = 2000, 400
_NOT_REPORTED = "The node's agent has not said yet what became of it."
_NOT_SENT = "The node was not told yet."

S = TypeVar("S", bound=msgspec.Struct)


class _Report(NamedTuple):
    agent: AgentIdentity
    kind: str
    revision: int
    statuses: Mapping[str, Report]  #: by name


class _Changes(NamedTuple):
    """The result of the reports of one round."""

    acted: dict[NodeKey, int]
    statuses: dict[PlacementKey, Report]
    gone: set[PlacementKey]


class PlacementReports:
    """Takes reports, and reads the status of placements."""

    def __init__(self, database: Database, *, placements: Placements, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._placements = placements
        self._clock = clock
        self._reports = Coalescer[_Report, None](self._store)

    async def reported(self, agent: AgentIdentity, report: PlacementReport) -> None:
        """Take what an agent reports of all its things of one kind. On disk when this returns.

        Raise `BadFrame` when it cannot be stored. A kind that only a newer agent knows is passed over.
        """
        kind = self._placements.kind(report.kind)
        if kind is None:
            log.info("agent %s is newer than this server: it reports on '%.64s'", agent.agent_id, report.kind)
            return
        await self._reports(_Report(agent, report.kind, report.revision, dict(_read(kind, report))))

    async def find(
        self, transaction: AsyncConnection, kind: Kind[S], *, name: str | None = None
    ) -> list[tuple[StoredPlacement, S]]:
        """Return every placement of a kind, or those of one thing, each with its status as it reads now."""
        found = await rows.find_all(transaction, kind.name, name=name)
        return [(row, self._status(kind, row)) for row in found]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _status(self, kind: Kind[S], row: StoredPlacement) -> S:
        if row.status is not None and row.reported >= row.revision:
            status = msgspec.json.decode(row.status, type=kind.status)
        else:  # nothing was reported yet of what is wanted now
            sent = self._placements.sent(row.key.node) >= row.revision
            reason = _NOT_REPORTED if sent else _NOT_SENT
            unreported = kind.unreported(row, sent=sent)
            status = msgspec.structs.replace(unreported, revision=row.revision, reason=reason)
        if row.agent_state is AgentState.ONLINE:
            return status
        notice = f"The node's agent is {row.agent_state}, last heard at {utc(row.seen_at)}."
        return msgspec.structs.replace(status, reason=f"{notice} {cast('Any', status).reason}".strip())

    async def _store(self, reports: Sequence[_Report]) -> Sequence[QuarterdeckError | None]:
        async with self._database.write() as transaction:
            links = await nodes.find_links(transaction, [report.agent.agent_id for report in reports])
            present = await rows.find_reported(transaction, [link.key for link in links.values()])
            changes = _weigh(reports, links, present)
            await nodes.set_acted(transaction, changes.acted)
            await rows.set_statuses(transaction, changes.statuses, now=self._clock())
            await rows.remove(transaction, changes.gone)
        return [None] * len(reports)


def _read(kind: Kind[Any], report: PlacementReport) -> list[tuple[str, Report]]:
    """Return each status by name, as it is stored. Raise `BadFrame` when it could not be read again."""
    found: list[tuple[str, Report]] = []
    for said in report.statuses:
        try:
            status = bounded(msgspec.convert(said, kind.status))
            text = msgspec.json.encode(status)
            msgspec.json.decode(text, type=kind.status)  # JSON has not every number, and not every text
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise BadFrame(f"A status of the kind '{kind.name}' that cannot be stored: {error!s:.500}.") from error
        found.append((kind.name_of(status), Report(status.revision, text.decode())))
    return found


def bounded(value: Any) -> Any:
    """Return the value with no more in it than an honest agent reports: it is stored, and shown with every list."""
    if type(value) is str:
        return value[:TEXT_LIMIT]
    if isinstance(value, tuple):
        return tuple(bounded(each) for each in cast("tuple[Any, ...]", value)[-LIST_LIMIT:])
    if isinstance(value, msgspec.Struct):
        fields = {name: bounded(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    return value


def _weigh(
    reports: Sequence[_Report],
    links: Mapping[str, Link],
    present: Mapping[tuple[NodeKey, str], Sequence[ReportedPlacement]],
) -> _Changes:
    """Decide which reports count: none older than one taken, none of a set never made, none of a replaced agent."""
    changes = _Changes({}, {}, set())
    for report in reports:
        link = links.get(report.agent.agent_id)
        if link is None:
            continue
        if not changes.acted.get(link.key, link.acted_revision) <= report.revision <= link.revision:
            continue
        changes.acted[link.key] = report.revision
        for row in present.get((link.key, report.kind), ()):
            said = report.statuses.get(row.key.name)
            if said is None:
                if not row.wanted and report.revision >= row.revision:
                    changes.gone.add(row.key)
                    changes.statuses.pop(row.key, None)
                continue
            newest = changes.statuses[row.key].revision if row.key in changes.statuses else row.reported
            if newest <= said.revision <= link.revision:
                changes.statuses[row.key] = said
    return changes
