"""Jobs as the nodes' agents see them: what is offered to a node, and what a node says became of it.

Holds the server's half of decision 0016: nothing is offered before it is on disk that it may have been, nothing an
agent says is confirmed before it is on disk. Repeats are harmless: of two results the first is kept. What people ask is
in `commands.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import JobOffers, JobResults, JobsStarted, JobsTaken, KillJobs, ToAgent
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.jobs import ID_LIMIT, RESULT_LINES, JobOffer, JobResult, JobState, is_final
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.ledger import Ledger, moved
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state import nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import JobRow, Offered, StoredCommand
from quarterdeck.store.state.nodes import NodeKey

log = logging.getLogger(__name__)

#: jobs in one message to an agent: with `COMMAND_LIMIT_BYTES` each, far below what a message may hold
OFFERS = 64
#: agents whose offers are read in one transaction
OFFER_ROUND = 200
#: bytes of a result as it is kept; of a larger one the end of its texts is
RESULT_LIMIT_BYTES = 256 * 1024
#: characters kept of a reason and of a critical message
TEXT_LIMIT = 2000

JobReport = JobsTaken | JobsStarted | JobResults
Named = tuple[str, NodeKey]


class NextJobs(NamedTuple):
    """What to send to a node, and the number of the last command it has then been offered; `more` may follow."""

    messages: list[ToAgent]
    number: int
    more: bool


class _Want(NamedTuple):
    agent: AgentIdentity
    number: int


class _Said(NamedTuple):
    agent: AgentIdentity
    reports: Sequence[JobReport]


class Jobs:
    """Offers jobs and takes their results."""

    def __init__(self, database: Database, *, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._wants = Coalescer[_Want, NextJobs](self._find_next, limit=OFFER_ROUND)
        self._reports = Coalescer[_Said, tuple[str, ...]](self._store_reports)

    async def next(self, agent: AgentIdentity, number: int) -> NextJobs:
        """What the node is to be told, after what it was offered over this connection: the commands up to `number`."""
        return await self._wants(_Want(agent, number))

    async def reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]:
        """What an agent says of its jobs. The ids of the results that it may forget: they are on disk."""
        return await self._reports(_Said(agent, reports))

    # ── offers ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _find_next(self, wants: Sequence[_Want]) -> Sequence[NextJobs | QuarterdeckError]:
        after = {NodeKey(want.agent.gid, want.agent.nid): want.number for want in wants}
        async with self._database.read() as transaction:
            offers = await rows.find_offers(transaction, after, limit=OFFERS)
            if all(offer.offered for offer in offers):
                return await self._messages(transaction, wants, offers)
        async with self._database.write() as transaction:
            # read again: what was not offered yet may have ended since
            offers = await rows.find_offers(transaction, after, limit=OFFERS)
            new = [offer for offer in offers if not offer.offered]
            if new:
                await rows.set_offered(transaction, new)
            return await self._messages(transaction, wants, offers)

    async def _messages(
        self, transaction: AsyncConnection, wants: Sequence[_Want], offers: Sequence[Offered]
    ) -> list[NextJobs]:
        commands = await rows.find_bodies(transaction, sorted({offer.number for offer in offers}))
        killed = await rows.find_killed(transaction, [NodeKey(want.agent.gid, want.agent.nid) for want in wants])
        by_node: dict[NodeKey, list[Offered]] = {}
        for offer in offers:
            by_node.setdefault(offer.key, []).append(offer)
        return [
            self._next(want, by_node.get(key, []), commands, killed=killed.get(key, []))
            for want in wants
            for key in (NodeKey(want.agent.gid, want.agent.nid),)
        ]

    def _next(
        self, want: _Want, offers: Sequence[Offered], commands: Mapping[int, StoredCommand], *, killed: Sequence[str]
    ) -> NextJobs:
        messages: list[ToAgent] = []
        if offers:
            messages.append(JobOffers(jobs=tuple(self._offer(commands[offer.number], offer) for offer in offers)))
        if killed:  # those not offered yet over this connection too: the node asks nothing of an id it does not know
            messages.append(KillJobs(ids=tuple(killed)))
        number = offers[-1].number if offers else want.number
        return NextJobs(messages, number, more=len(offers) == OFFERS)

    def _offer(self, command: StoredCommand, offer: Offered) -> JobOffer:
        left = None if command.expires_at is None else max(0.0, command.expires_at - self._clock())
        return JobOffer(
            id=command.id,
            cmd=command.cmd,
            args=command.args,
            data=command.data,
            expires_in_s=left,
            taken=offer.taken,
        )

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _store_reports(self, said: Sequence[_Said]) -> Sequence[tuple[str, ...] | QuarterdeckError]:
        async with self._database.write() as transaction:
            agents = {agent.agent_id for agent, _ in said}
            valid = await nodes.find_links(transaction, sorted(agents))
            said = [each if each.agent.agent_id in valid else each._replace(reports=()) for each in said]
            found = await rows.find_named(transaction, _names(said))
            changed: dict[Named, JobRow] = {}
            for agent, reports in said:
                for report in reports:
                    self._weigh(agent, report, found=found, changed=changed)
            numbers = await self._ledger.store(transaction, list(changed.values()))
        self._ledger.tell(numbers)
        return [
            tuple(result.id for report in reports if isinstance(report, JobResults) for result in report.results)
            for _, reports in said
        ]

    def _weigh(
        self,
        agent: AgentIdentity,
        report: JobReport,
        *,
        found: Mapping[Named, tuple[JobRow, str]],
        changed: dict[Named, JobRow],
    ) -> None:
        """Adds to `changed` what the report changes: nothing of what is final, nor of another node's jobs."""
        key, now = NodeKey(agent.gid, agent.nid), self._clock()

        def move(job_id: str, state: JobState, result: JobResult | None = None) -> None:
            name = (job_id, key)
            if name not in found:
                log.warning("node %d/%d speaks of job %r, which it does not have here", *key, job_id[:ID_LIMIT])
                return
            row, cmd = found[name]
            if result is not None:
                result = bounded(result, cmd)
                state = result.state
            reason = "" if result is None else result.reason
            after = moved(changed.get(name, row), state, reason=reason, result=result, accepted_at=now)
            if after is not None:
                changed[name] = after

        match report:
            case JobsTaken():
                for job_id in report.ids:
                    move(job_id, JobState.ACCEPTED)
            case JobsStarted():
                for job_id in report.ids:
                    move(job_id, JobState.RUNNING)
            case JobResults():
                for result in report.results:
                    move(result.id, result.state, result)


def _names(said: Sequence[_Said]) -> list[Named]:
    names: dict[Named, None] = {}
    for agent, reports in said:
        key = NodeKey(agent.gid, agent.nid)
        for report in reports:
            ids = (each.id for each in report.results) if isinstance(report, JobResults) else report.ids
            # what cannot be an id is not looked for: the database may not even take it
            names |= dict.fromkeys((job_id, key) for job_id in ids if is_id(job_id))
    return list(names)


def is_id(text: str) -> bool:
    """Whether this may be the id of a command."""
    return 0 < len(text) <= ID_LIMIT and text.isprintable()


def bounded(result: JobResult, cmd: str) -> JobResult:
    """The result with no more in it than is kept, which its reason then says; it always is a result."""
    state, reason = result.state, result.reason[:TEXT_LIMIT]
    if not is_final(state):
        state, reason = JobState.ERROR, f"The agent sent a result in the state {state}, which is none. {reason}"
    size = len(msgspec.json.encode(result))
    streams = (_tail(result.streams[0]), _tail(result.streams[1]))
    data, critical = result.data, result.critical[:TEXT_LIMIT]
    if size > RESULT_LIMIT_BYTES:
        part = RESULT_LIMIT_BYTES // 20  # three texts, of which no character takes more than six bytes
        data, streams = data[-part:], (streams[0][-part:], streams[1][-part:])
        reason = f"{reason} Of {size} bytes of result the end is kept.".lstrip()
    return msgspec.structs.replace(
        result,
        cmd=cmd,
        state=state,
        # PostgreSQL takes no NUL in a text
        reason=reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        data=data,
        critical=critical,
        streams=streams,
    )


def _tail(stream: str) -> str:
    """The last lines of a stream."""
    lines = stream.splitlines(keepends=True)
    return stream if len(lines) <= RESULT_LINES else "".join(lines[-RESULT_LINES:])
