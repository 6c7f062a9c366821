"""Jobs as agents see them: offers to nodes, and the reports that nodes send about them.

Implements the server's half of decision 0016: an offer is on disk before it is sent, and a report is on disk before it
is confirmed. Repeats are harmless: of two results the first is kept. Requests of users are handled in `commands.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.limits import in_messages
from quarterdeck.link.messages import JobOffers, JobResults, JobsStarted, JobsTaken, KillJobs, ToAgent
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.jobs import ID_LIMIT, RESULT_LINES, JobOffer, JobResult, JobState, is_final, is_id
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.jobs.ledger import Ledger, moved
from quarterdeck.store.state import nodes
from quarterdeck.store.state import offers as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import JobRow, StoredCommand
from quarterdeck.store.state.offers import Named, Offered

log = logging.getLogger(__name__)

#: jobs in one message to an agent: with `COMMAND_LIMIT_BYTES` each, far below the limit of a message
OFFERS = 64
#: agents whose offers are read in one transaction
OFFER_ROUND = 200
#: how long a transaction may wait for as many reports as the last one had, in seconds per report
WAIT_PER_CALL_S = 0.002
#: bytes of a result that are kept; of a larger one the ends of its texts are kept
RESULT_LIMIT_BYTES = 256 * 1024
#: characters kept of a reason and of a critical message
TEXT_LIMIT = 2000

JobReport = JobsTaken | JobsStarted | JobResults
_Name = tuple[str, NodeKey]


class NextJobs(NamedTuple):
    """The messages to send to a node, the number of the last command offered in them, and whether there are more."""

    messages: list[ToAgent]
    number: int
    more: bool


class _Want(NamedTuple):
    agent: AgentIdentity
    number: int


class _Upcoming(NamedTuple):
    want: _Want
    offers: Sequence[Offered]
    killed: Sequence[str]


class _Said(NamedTuple):
    agent: AgentIdentity
    reports: Sequence[JobReport]


class Jobs:
    """Offers jobs to agents and stores their results."""

    def __init__(self, database: Database, *, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._wants = Coalescer[_Want, NextJobs](self._find_next, limit=OFFER_ROUND)
        self._reports = Coalescer[_Said, tuple[str, ...]](self._store_reports, wait_per_call_s=WAIT_PER_CALL_S)

    async def next(self, agent: AgentIdentity, number: int) -> NextJobs:
        """Return the next messages to a node that was offered the commands up to `number` over this connection."""
        return await self._wants(_Want(agent, number))

    async def reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]:
        """Store an agent's reports on its jobs; return the ids of the results that are on disk, which it may forget."""
        return await self._reports(_Said(agent, reports))

    # ── offers ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _find_next(self, wants: Sequence[_Want]) -> Sequence[NextJobs | QuarterdeckError]:
        async with self._database.read() as transaction:
            upcoming = [await self._next(transaction, want) for want in wants]
            if all(offer.offered for each in upcoming for offer in each.offers):
                return [self._messages(each) for each in upcoming]
        async with self._database.write() as transaction:
            # read again: a job that was not offered yet may have ended in the meantime
            upcoming = [await self._next(transaction, want) for want in wants]
            new = [offer for each in upcoming for offer in each.offers if not offer.offered]
            if new:
                await rows.set_offered(transaction, new)
        return [self._messages(each) for each in upcoming]

    async def _next(self, transaction: AsyncConnection, want: _Want) -> _Upcoming:
        key = want.agent.key
        offers = await rows.find_offers(transaction, key, after=want.number, limit=OFFERS)
        return _Upcoming(want, offers, await rows.find_killed(transaction, key))

    def _messages(self, upcoming: _Upcoming) -> NextJobs:
        want, offers, killed = upcoming
        messages: list[ToAgent] = []
        if offers:
            now = self._clock()
            messages.append(JobOffers(jobs=tuple(offer(each.command, now=now, taken=each.taken) for each in offers)))
        # includes jobs not yet offered over this connection: the node ignores unknown ids
        messages += [KillJobs(ids=ids) for ids in in_messages(killed)]
        number = offers[-1].command.number if offers else want.number
        return NextJobs(messages, number, more=len(offers) == OFFERS)

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _store_reports(self, said: Sequence[_Said]) -> Sequence[tuple[str, ...] | QuarterdeckError]:
        async with self._database.write() as transaction:
            changed: dict[_Name, JobRow] = {}
            stored: list[tuple[str, ...]] = []
            for agent, reports in said:
                found = await rows.find_named(transaction, agent.key, _ids(reports))
                if not await self._stands(transaction, agent, found):
                    stored.append(())
                    continue
                _log_unknown(agent, [job_id for job_id in _said_ids(reports) if job_id not in found])
                for report in reports:
                    self._weigh(agent, report, found=found, changed=changed)
                results = (each for report in reports if isinstance(report, JobResults) for each in report.results)
                stored.append(tuple(result.id for result in results))
            numbers = await self._ledger.store(transaction, list(changed.values()))
        self._ledger.tell(numbers)
        return stored

    async def _stands(self, transaction: AsyncConnection, agent: AgentIdentity, found: Mapping[str, Named]) -> bool:
        """Return whether this is the current agent of its node; reports of a replaced agent are ignored."""
        for named in found.values():
            return named.agent_id == agent.agent_id
        return agent.agent_id in await nodes.find_links(transaction, [agent.agent_id])

    def _weigh(
        self,
        agent: AgentIdentity,
        report: JobReport,
        *,
        found: Mapping[str, Named],
        changed: dict[_Name, JobRow],
    ) -> None:
        """Add to `changed` the jobs that the report changes; final jobs and those of other nodes never change."""
        key, now = agent.key, self._clock()

        def move(job_id: str, state: JobState, result: JobResult | None = None) -> None:
            name = (job_id, key)
            known = found.get(job_id)
            if known is None:
                return
            if result is not None:
                result = bounded(result, known.cmd)
                state = result.state
            reason = "" if result is None else result.reason
            after = moved(changed.get(name, known.row), state, reason=reason, result=result, accepted_at=now)
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


def offer(command: StoredCommand, *, now: float, taken: bool = False) -> JobOffer:
    """Return the command as it is offered to a node. `taken`: the node has reported before that it accepted it."""
    left = None if command.expires_at is None else max(0.0, command.expires_at - now)
    return JobOffer(
        id=command.id, cmd=command.cmd, args=command.args, data=command.data, expires_in_s=left, taken=taken
    )


def _said_ids(reports: Sequence[JobReport]) -> Iterator[str]:
    for report in reports:
        yield from (each.id for each in report.results) if isinstance(report, JobResults) else report.ids


def _ids(reports: Sequence[JobReport]) -> list[str]:
    # an invalid id is not looked up: the database may not even accept it
    return list(dict.fromkeys(job_id for job_id in _said_ids(reports) if is_id(job_id)))


def _log_unknown(agent: AgentIdentity, ids: Sequence[str]) -> None:
    """Log the unknown jobs in one line, however many there are."""
    if ids:
        jobs = f"job {ids[0][:ID_LIMIT]!r}" + (f" and {len(ids) - 1} others" if len(ids) > 1 else "")
        log.warning("node %d/%d refers to %s, which this server has not given it", *agent.key, jobs)


def bounded(result: JobResult, cmd: str) -> JobResult:
    """Return the result, shortened to the limits, with a final state; its reason mentions either change."""
    state, reason = result.state, result.reason[:TEXT_LIMIT]
    if not is_final(state):
        state, reason = JobState.ERROR, f"The agent sent a result with the state {state}, which is not final. {reason}"
    size = len(msgspec.json.encode(result))
    streams = (_tail(result.streams[0]), _tail(result.streams[1]))
    data, critical = result.data, result.critical[:TEXT_LIMIT]
    if size > RESULT_LIMIT_BYTES:
        part = RESULT_LIMIT_BYTES // 20  # three texts, in which no character takes more than six bytes
        data, streams = data[-part:], (streams[0][-part:], streams[1][-part:])
        reason = f"{reason} The result has {size} bytes; the end is kept.".lstrip()
    return msgspec.structs.replace(
        result,
        cmd=cmd,
        state=state,
        # PostgreSQL accepts no NUL in a text
        reason=reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        data=data,
        critical=critical,
        streams=streams,
    )


def _tail(stream: str) -> str:
    """Return the last lines of a stream."""
    lines = stream.splitlines(keepends=True)
    return stream if len(lines) <= RESULT_LINES else "".join(lines[-RESULT_LINES:])
