"""Commands as people see them: asked of nodes, listed, followed, killed, run again.

Owns the check of what is asked, the choice of nodes, and what happens to a job that no node was offered: it expires or
is killed here. Everything is on disk before the answer. What agents say of their jobs is in `jobs.py`.
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

from quarterdeck.model.errors import (
    BadInput,
    NoSuchNodes,
    NotFound,
    QuarterdeckError,
    Unavailable,
)
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, JobState, is_id
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.jobs.asking import Asking, Beside
from quarterdeck.server.jobs.ledger import Ledger, moved
from quarterdeck.server.selection import find_one, pick
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state import scripts
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import JobRow, Shown, StoredCommand

log = logging.getLogger(__name__)

CommandList = list[Command]
JobList = list[Job]
#: commands or jobs in one list
LIST_LIMIT = 10_000
#: how often jobs that nobody was offered are looked at for their end
SWEEP_S = 2.0
#: jobs that expire in one transaction
SWEEP_JOBS = 2000
#: how long whoever asks may wait for the results in the same call
WAIT_LIMIT_S = 60.0
#: jobs that a follower reads at one time
PAGE_JOBS = 200


class Change(NamedTuple):
    """A job as it is now, and the number of that change: where to go on after it."""

    job: Job
    number: int


class Commands:
    """Asks nodes to do things; of those that are over the newest `kept` are kept."""

    def __init__(
        self,
        database: Database,
        *,
        ledger: Ledger,
        links: Links,
        kept: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._links = links
        self._asking = Asking(database, ledger=ledger, links=links, clock=clock)
        self._kept = max(1, kept)
        self._clock = clock

    # ── what people ask ──────────────────────────────────────────────────────────────────────────────────────────────
    async def create(
        self, request: CreateCommand, actor: ApiToken, *, action: str = "", wait_s: float = 0.0
    ) -> CommandWithJobs:
        """Asks the nodes that match now, or with `any` one of them that is online.

        With `wait_s` returns when every job has its result, or that time is over. With `action` the audit log has it,
        too. `AlreadyExists` (the id), `NoSuchNodes`, `BadInput`, `TooLarge`, `NotFound` (its script).
        """
        if not wait_s > 0:
            asked = await self._asking.create(request, actor, action=action)
            return _shown(asked.command, [_read(shown) for shown in asked.jobs])
        with self._ledger.watch() as watch:
            asked = await self._asking.create(request, actor, action=action, watch=watch)
            try:
                async with asyncio.timeout(min(wait_s, WAIT_LIMIT_S)):
                    await watch.over.wait()
            except TimeoutError:
                return await self.show(asked.command.id)
            return _shown(asked.command, list(watch.jobs.values()))

    async def create_all(
        self, requests: Sequence[CreateCommand], actor: ApiToken, *, action: str, beside: Beside
    ) -> Sequence[QuarterdeckError | None]:
        """Many at a time in one transaction, each as by `create`; `beside` stores what belongs to those that are made.

        For each request its error, or None. Raises what is no single request's fault: `Unavailable`, `StorageFull`.
        """
        return await self._asking.create_all(requests, actor, action=action, beside=beside)

    async def list(self, *, limit: int = 100) -> CommandList:
        """The last commands, the newest first."""
        async with self._database.read() as transaction:
            return await rows.find_newest(transaction, _within(limit))

    async def show(self, command_id: str) -> CommandWithJobs:
        """One command with its jobs; `NotFound`."""
        async with self._database.read() as transaction:
            return await _show(transaction, await _find(transaction, command_id))

    async def jobs(self, *, node: str | None = None, state: JobState | None = None, limit: int = 100) -> JobList:
        """The last jobs, the newest first, of one node (by name, nid or gid/nid) or in one state or all.

        `NotFound`; `Conflict` when more than one node is called that.
        """
        async with self._database.read() as transaction:
            key = None
            if node is not None:
                key = (await find_one(transaction, node)).key
            return [_read(s) for s in await rows.find(transaction, key=key, state=state, limit=_within(limit))]

    async def kill(self, command_id: str, named: Sequence[str], actor: ApiToken) -> CommandWithJobs:
        """Ends the jobs that have no result yet, on these nodes or on all. `NotFound`, `NoSuchNodes`.

        A job that its node may have is ended by the node alone, now or when it is back.
        """
        async with self._database.write() as transaction:
            command = await _find(transaction, command_id)
            there = {job.key: job.node_name for job, *_ in await rows.find(transaction, number=command.number)}
            keys = pick(there, named, missing=lambda name: _no_job(command_id, name))
            killed: list[JobRow] = []
            for row in await rows.find_unfinished(transaction, number=command.number):
                if row.key not in keys or row.killed:
                    continue
                if row.offered:
                    reason = f"'{actor.name}' asked for its end; the node has not answered yet."
                    killed.append(msgspec.structs.replace(row, killed=True, reason=reason))
                elif ended := moved(row, JobState.KILLED, reason=f"'{actor.name}' ended it before the node had it."):
                    killed.append(ended)
            told = await self._ledger.store(transaction, killed)
            shown = await _show(transaction, command)
        self._ledger.tell(told)
        self._links.wake_for_jobs({row.key for row in killed})
        return shown

    async def rerun(self, command_id: str, actor: ApiToken) -> CommandWithJobs:
        """A new command: the same, on the nodes of the old one's jobs, with as much time as that had."""
        async with self._database.read() as transaction:
            old = await _find(transaction, command_id)
            jobs = [shown.job for shown in await rows.find(transaction, number=old.number)]
        request = CreateCommand(
            cmd=old.cmd,
            args=old.args,
            data=old.data,
            selector=Selector(nodes=tuple(str(job.key) for job in jobs)),
            expires_s=None if old.expires_at is None else old.expires_at - old.create_time,
        )
        return await self.create(request, actor)

    async def follow(self, command_id: str, cursor: str = "") -> AsyncIterator[Change]:
        """Every job as it is now, or that changed after `cursor`; then each change, until all have a result.

        `NotFound`; `BadInput` when the cursor is none.
        """
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise BadInput(
                f"{cursor[:100]!r} is not the id of an event.", hint="Send the id of the last event you got."
            )
        async with self._database.read() as transaction:
            command = await _find(transaction, command_id)
        return self._changes(command.number, int(cursor or 0))

    async def _changes(self, number: int, after: int) -> AsyncGenerator[Change]:
        with self._ledger.follow(number) as news:
            while True:
                news.clear()
                async with self._database.read() as transaction:
                    found = await rows.find_changed(transaction, number, after=after, limit=PAGE_JOBS)
                    # of the same state of the store as the page: what comes after it is not missed
                    ended = found[-1].ended if found else await rows.has_ended(transaction, number)
                for shown in found:
                    after = shown.change
                    yield Change(_read(shown), after)
                if len(found) == PAGE_JOBS:
                    continue
                if ended:
                    return
                await news.wait()

    # ── what time does ───────────────────────────────────────────────────────────────────────────────────────────────
    async def watch(self) -> None:
        """Runs for ever: ends what has expired, forgets what is old."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("which jobs have expired cannot be stored now: %s", error)
            except Exception:
                log.exception("which jobs have expired cannot be found out; it is tried again")

    async def sweep(self) -> None:
        """Jobs that no node was offered in time are EXPIRED; old commands that are over are forgotten."""
        now = self._clock()
        async with self._database.read() as transaction:  # most often nothing: then nothing is written
            expired = bool(await rows.find_expired(transaction, now=now, limit=1))
            old = await rows.has_more_than(transaction, self._kept)
        while expired:
            async with self._database.write() as transaction:
                found = await rows.find_expired(transaction, now=now, limit=SWEEP_JOBS)
                reason = "The node was not here before the command expired."
                ended = [each for row in found if (each := moved(row, JobState.EXPIRED, reason=reason))]
                told = await self._ledger.store(transaction, ended)
            self._ledger.tell(told)
            expired = len(found) == SWEEP_JOBS
        if old:
            async with self._database.write() as transaction:
                if forgotten := await rows.prune(transaction, self._kept):
                    log.info("forgot %d old commands", forgotten)
                await scripts.prune(transaction)


async def _show(transaction: AsyncConnection, command: StoredCommand) -> CommandWithJobs:
    return _shown(command, [_read(shown) for shown in await rows.find(transaction, number=command.number)])


def _shown(command: StoredCommand, jobs: Sequence[Job]) -> CommandWithJobs:
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
    # what cannot be an id is not looked for: the database may not even take it
    command = await rows.find_command(transaction, command_id) if is_id(command_id) else None
    if command is None:
        raise NotFound(f"There is no command '{command_id}'.", hint="See `qd job ls`; old ones are forgotten.")
    return command


def _no_job(command_id: str, name: str) -> NoSuchNodes:
    return NoSuchNodes(f"The command '{command_id}' has no job on '{name}'.", hint="See `qd job show`.")


def _read(shown: Shown) -> Job:
    """The job, with why it waits if its node is not here."""
    job = shown.job
    if job.state not in rows.UNFINISHED or shown.agent_state in {None, AgentState.ONLINE}:
        return job
    since = utc(shown.seen_at)
    return msgspec.structs.replace(job, reason=f"The node is offline since {since}. {job.reason}".rstrip())


def _within(limit: int) -> int:
    return max(0, min(limit, LIST_LIMIT))
