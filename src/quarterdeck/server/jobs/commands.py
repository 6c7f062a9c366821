"""Commands as users see them: issued to nodes, listed, followed, killed, run again.

Owns the end of jobs that were never offered to a node: they expire or are killed here. Every change is on disk before
the answer. It never talks to an agent: `jobs.py` offers jobs and stores their results.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.kit.race import within
from quarterdeck.model.errors import (
    BadInput,
    NotFound,
    QuarterdeckError,
    Unavailable,
)
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, JobState, is_id
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.selection import no_job, pick
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.jobs.creator import CommandCreator, StoreMore
from quarterdeck.server.jobs.ledger import COMMANDS, Ledger, moved
from quarterdeck.server.jobs.links import JOBS_DUE, JobLinks
from quarterdeck.server.names import check_limit
from quarterdeck.server.selection import choose, without_gone
from quarterdeck.server.signals import Signals
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state import nodes, scripts
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import JobOnNode, JobRow, StoredCommand

log = logging.getLogger(__name__)

_EVERY = Selector()
CommandList = list[Command]
JobList = list[Job]
#: interval of looking for expired jobs and for old commands
SWEEP_S = 2.0
#: jobs that expire in one transaction
SWEEP_JOBS = 2000
#: how long a request may wait for the results of its command
WAIT_LIMIT_S = 60.0
#: words of a search, and characters
WORDS_LIMIT, TEXT_LIMIT = 8, 200
#: jobs that a follower reads at a time
PAGE_JOBS = 200


class Change(NamedTuple):
    """A job in its current state, and the number of its last change, after which a follower continues."""

    job: Job
    number: int


class Commands:
    """Issues commands to nodes; keeps the newest `kept` finished ones.

    `expires_s`: how long a command without its own limit waits for offline nodes; 0 means without limit.
    """

    def __init__(
        self,
        database: Database,
        *,
        ledger: Ledger,
        links: JobLinks,
        signals: Signals,
        kept: int = 10_000,
        expires_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._signals = signals
        self._creator = CommandCreator(
            database, ledger=ledger, links=links, signals=signals, expires_s=expires_s or None, clock=clock
        )
        self._kept = max(1, kept)
        self._clock = clock

    # ── requests of users ────────────────────────────────────────────────────────────────────────────────────────────
    async def create(
        self, request: CreateCommand, actor: ApiToken, *, action: str = "", wait_s: float = 0.0
    ) -> CommandWithJobs:
        """Issue a command to the nodes that match now, or with `any` to one of them that is online.

        With `wait_s`, return when every job has its result, or after that time. With `action`, write an audit entry.
        Raise `AlreadyExists` (the id), `NoSuchNodes`, `BadInput`, `TooLarge` or `NotFound` (its script).
        """
        if not wait_s > 0:
            asked = await self._creator.create(request, actor, action=action)
            return _with_jobs(asked.command, [_read(each) for each in asked.jobs])
        with self._ledger.watch() as watch:
            asked = await self._creator.create(request, actor, action=action, watch=watch)
            if not await within(min(wait_s, WAIT_LIMIT_S), watch.finished.wait()):
                return await self.show(asked.command.id)
            return _with_jobs(asked.command, list(watch.jobs.values()))

    async def create_all(
        self, requests: Sequence[CreateCommand], actor: ApiToken, *, action: str, store_more: StoreMore
    ) -> Sequence[QuarterdeckError | None]:
        """Create many commands as `create` does, in one transaction, in which `store_more` stores further rows.

        Return for each request its error, or None. Raise `Unavailable` or `StorageFull` when none could be stored.
        """
        return await self._creator.create_all(requests, actor, action=action, store_more=store_more)

    async def list(self, *, since: float | None = None, text: str = "", limit: int = 100) -> CommandList:
        """Return the last commands, the newest first: those since a moment, those that a text finds, or all.

        Each word of the text is in a command's name, its arguments or the name of a node, or begins its id. Raise
        `BadInput` for a wrong limit or text.
        """
        words = _words(text)
        async with self._database.read() as transaction:
            return await rows.find_newest(transaction, check_limit(limit), since=since, words=words)

    async def show(self, command_id: str) -> CommandWithJobs:
        """Return a command with its jobs; raise `NotFound`."""
        async with self._database.read() as transaction:
            return await _show(transaction, await _find(transaction, command_id))

    async def jobs(
        self,
        selector: Selector = _EVERY,
        *,
        state: JobState | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> JobList:
        """Return the last jobs, the newest first: of some nodes, in one state, since a moment, or all.

        Raise `NoSuchNodes`, `Conflict` when a name may be more than one node, or `BadInput` (the limit, the state).
        """
        if state is not None and not state.known:
            raise BadInput(f"There is no state '{state}' of a job; there are: {', '.join(JobState)}.")
        async with self._database.read() as transaction:
            keys = None
            if selector != Selector():
                keys = [node.key for node in choose(await nodes.find_targets(transaction), selector)]
            found = await rows.find(transaction, keys=keys, state=state, since=since, limit=check_limit(limit))
            return [_read(row) for row in found]

    async def kill(self, command_id: str, named: Sequence[str], actor: ApiToken) -> CommandWithJobs:
        """Kill the jobs that have no result yet, on these nodes or on all; raise `NotFound` or `NoSuchNodes`.

        A job that was offered to its node is ended only by the node, now or when it reconnects.
        """
        async with self._database.write() as transaction:
            command = await _find(transaction, command_id)
            there = {job.key: job.node_name for job, *_ in await rows.find(transaction, number=command.number)}
            keys = pick(there, named, missing=lambda names: no_job(command_id, names, there.values()))
            killed: list[JobRow] = []
            for row in await rows.find_unfinished(transaction, number=command.number):
                if row.key not in keys or row.killed:
                    continue
                if row.offered:
                    reason = f"'{actor.name}' requested its end; the node has not answered yet."
                    killed.append(msgspec.structs.replace(row, killed=True, reason=reason))
                elif ended := moved(row, JobState.KILLED, reason=f"'{actor.name}' ended it before the node had it."):
                    killed.append(ended)
            told = await self._ledger.store(transaction, killed)
            result = await _show(transaction, command)
        self._ledger.tell(told)
        self._signals.send(JOBS_DUE, (row.key for row in killed))
        return result

    async def rerun(self, command_id: str, actor: ApiToken) -> CommandWithJobs:
        """Issue the command again on those nodes of its jobs that still exist, with as much time as it had."""
        async with self._database.read() as transaction:
            old = await _find(transaction, command_id)
            asked = Selector(nodes=tuple(str(s.job.key) for s in await rows.find(transaction, number=old.number)))
            selector, _ = without_gone(await nodes.find_targets(transaction), asked)
        request = CreateCommand(
            cmd=old.cmd,
            args=old.args,
            data=old.data,
            selector=selector,
            expires_s="never" if old.expires_at is None else old.expires_at - old.create_time,
        )
        return await self.create(request, actor)

    async def follow(self, command_id: str, cursor: str = "") -> AsyncIterator[Change]:
        """Yield every job in its current state, or only those changed after `cursor`, then each change until the last.

        Raise `NotFound`, or `BadInput` when the cursor is invalid.
        """
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise BadInput(
                f"{cursor[:100]!r} is not the id of an event.", hint="Send the id of the last event you got."
            )
        async with self._database.read() as transaction:
            command = await _find(transaction, command_id)
        return self._changes(command.number, int(cursor or 0))

    async def _changes(self, number: int, after: int) -> AsyncGenerator[Change]:
        with self._signals.follow(COMMANDS, number) as news:
            while True:
                news.clear()
                async with self._database.read() as transaction:
                    found = await rows.find_changed(transaction, number, after=after, limit=PAGE_JOBS)
                    # read in the transaction of the page, so that no change after it is missed
                    ended = found[-1].ended if found else await rows.has_ended(transaction, number)
                for each in found:
                    after = each.change
                    yield Change(_read(each), after)
                if len(found) == PAGE_JOBS:
                    continue
                if ended:
                    return
                await news.wait()

    # ── expiry ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def watch(self) -> None:
        """Run until cancelled: expire jobs and remove old commands."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("expired jobs cannot be stored now: %s", error)
            except Exception:
                log.exception("looking for expired jobs failed; it will be retried")

    async def sweep(self) -> None:
        """Set jobs that were not offered in time to EXPIRED, and remove old finished commands."""
        now = self._clock()
        async with self._database.read() as transaction:  # usually there are none, and nothing is written
            expired = bool(await rows.find_expired(transaction, now=now, limit=1))
            old = await rows.has_more_than(transaction, self._kept)
        while expired:
            async with self._database.write() as transaction:
                found = await rows.find_expired(transaction, now=now, limit=SWEEP_JOBS)
                reason = "The node was not online before the command expired."
                ended = [each for row in found if (each := moved(row, JobState.EXPIRED, reason=reason))]
                told = await self._ledger.store(transaction, ended)
            self._ledger.tell(told)
            expired = len(found) == SWEEP_JOBS
        if old:
            async with self._database.write() as transaction:
                if forgotten := await rows.prune(transaction, self._kept):
                    log.info("removed %d old commands", forgotten)
                await scripts.prune(transaction)


async def _show(transaction: AsyncConnection, command: StoredCommand) -> CommandWithJobs:
    return _with_jobs(command, [_read(each) for each in await rows.find(transaction, number=command.number)])


def _words(text: str) -> list[str]:
    """Return the words to search; raise `BadInput` when they are too many, or no store could have one."""
    words = text.split()
    if len(text) > TEXT_LIMIT or len(words) > WORDS_LIMIT:
        raise BadInput(
            f"A search has at most {WORDS_LIMIT} words in {TEXT_LIMIT} characters; found {len(words)} in {len(text)}."
        )
    if not all(word.isprintable() for word in words):
        raise BadInput("A search has printable characters only; found others.")
    return words


def _with_jobs(command: StoredCommand, jobs: Sequence[Job]) -> CommandWithJobs:
    return CommandWithJobs(
        id=command.id,
        cmd=command.cmd,
        args=command.args,
        selector=command.selector,
        actor=command.actor,
        create_time=command.create_time,
        expires_at=command.expires_at,
        states=dict(Counter(job.state for job in jobs)),
        jobs=tuple(jobs),
    )


async def _find(transaction: AsyncConnection, command_id: str) -> StoredCommand:
    # an invalid id is not looked up: the database may not even accept it
    command = await rows.find_command(transaction, command_id) if is_id(command_id) else None
    if command is None:
        raise NotFound(f"There is no command '{command_id}'.", hint="See `qd job ls`; old ones are removed.")
    return command


def _read(found: JobOnNode) -> Job:
    """Return the job; if its node is offline, its reason says so."""
    job = found.job
    if job.state not in rows.UNFINISHED or found.agent_state in {None, AgentState.ONLINE}:
        return job
    since = utc(found.seen_at)
    end = "" if found.expires_at is None else f"; the job expires if it is not back by {utc(found.expires_at)}"
    return msgspec.structs.replace(job, reason=f"The node is offline since {since}{end}. {job.reason}".rstrip())
