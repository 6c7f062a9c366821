"""The server's ledger of jobs: the one place where a job's row changes, and where followers hear of it.

Owns the rule that a job gets one result and never changes after (`JOB_TRANSITIONS`), and that a command ends, with an
entry in the audit log, in the transaction that stores the last result. Never talks to an agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import JOB_TRANSITIONS, Job, JobResult, JobState, is_final
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.audit import Audit
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.jobs import JobRow, StoredCommand


def moved(
    row: JobRow, state: JobState, *, reason: str = "", result: JobResult | None = None, accepted_at: float = 0.0
) -> JobRow | None:
    """The job in another state; None where it may not follow, or already is there."""
    if row.state is state or not JOB_TRANSITIONS.allows(row.state, state):
        return None
    accept_time = row.accept_time or accepted_at
    return msgspec.structs.replace(row, state=state, reason=reason, result=result, accept_time=accept_time)


class Changes(NamedTuple):
    """Jobs as they are now, to be told of when it is on disk."""

    rows: Sequence[JobRow]
    time: float


NOTHING = Changes((), 0.0)


class Watch:
    """One command's jobs, kept in memory as they are stored; `over` is set when each has its result."""

    def __init__(self) -> None:
        self.jobs: dict[NodeKey, Job] = {}
        self.over = asyncio.Event()
        self.number = 0  #: of the command; 0 until it is stored
        self.ended = False  #: nobody watches any more
        self._open = 0

    def begin(self, number: int, jobs: Mapping[NodeKey, Job]) -> None:
        """The command was stored with these jobs, none of which has a result."""
        self.number, self.jobs, self._open = number, dict(jobs), len(jobs)

    def changed(self, row: JobRow, time: float) -> None:
        """It was stored that this job changed."""
        before = self.jobs[row.key]
        self.jobs[row.key] = msgspec.structs.replace(
            before,
            state=row.state,
            reason=row.reason,
            accept_time=row.accept_time,
            last_update_time=time,
            result=row.result,
        )
        self._open -= is_final(row.state) and not is_final(before.state)
        if not self._open:
            self.over.set()


class Ledger:
    """Stores changes of jobs. After each transaction the caller says `tell`."""

    def __init__(self, audit: Audit, *, clock: Callable[[], float] = time.time) -> None:
        self.audit = audit
        self._clock = clock
        self._followers: dict[int, set[asyncio.Event]] = {}
        self._watches: dict[int, Watch] = {}
        self._listeners: list[Callable[[Iterable[int]], None]] = []

    async def store(self, transaction: AsyncConnection, changed: Sequence[JobRow]) -> Changes:
        """Jobs as they are now; what is to be told after the transaction."""
        now = self._clock()
        await rows.save(transaction, changed, now=now)
        if any(is_final(row.state) for row in changed):
            await self._end(transaction, {row.command for row in changed})
        return Changes(changed, now)

    async def end_node(
        self, transaction: AsyncConnection, key: NodeKey, *, reason: str, only_offered: bool = False
    ) -> Changes:
        """The node, or the agent that may have taken its jobs, is no more: they are LOST. As `store`."""
        lost = [
            ended
            for row in await rows.find_unfinished(transaction, key=key)
            if (row.offered or not only_offered) and (ended := moved(row, JobState.LOST, reason=reason))
        ]
        return await self.store(transaction, lost)

    async def _end(self, transaction: AsyncConnection, numbers: Iterable[int]) -> None:
        ended = await rows.end(transaction, list(numbers), now=self._clock())
        if not ended:
            return
        states = await rows.count_states(transaction, [command.number for command in ended])
        await self.audit.add(transaction, [_entry(command, states[command.number]) for command in ended])

    # ── who follows ──────────────────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def follow(self, number: int) -> Generator[asyncio.Event]:
        """An event that is set whenever a job of this command has changed."""
        news = asyncio.Event()
        followers = self._followers.setdefault(number, set())
        followers.add(news)
        try:
            yield news
        finally:
            followers.discard(news)
            if not followers:
                self._followers.pop(number, None)

    @contextmanager
    def watch(self) -> Generator[Watch]:
        """For the jobs of a command that is to be stored, by a caller who then says `begin`."""
        watch = Watch()
        try:
            yield watch
        finally:
            watch.ended = True
            self._watches.pop(watch.number, None)

    def begin(self, watch: Watch, number: int, jobs: Mapping[NodeKey, Job]) -> None:
        """The command that is watched was stored. To be said before anybody else can speak of its jobs."""
        if not watch.ended:
            watch.begin(number, jobs)
            self._watches[number] = watch

    def listen(self, listener: Callable[[Iterable[int]], None]) -> None:
        """Have `listener` told of the commands whose jobs have changed."""
        self._listeners.append(listener)

    def tell(self, changes: Changes) -> None:
        """It is on disk that these jobs changed."""
        numbers = {row.command for row in changes.rows}
        for row in changes.rows:
            if watch := self._watches.get(row.command):
                watch.changed(row, changes.time)
        for listener in self._listeners:
            listener(numbers)
        for number in numbers:
            for news in self._followers.get(number, ()):
                news.set()


def _entry(command: StoredCommand, counts: Mapping[JobState, int]) -> Entry:
    """What the audit log says of a command that has ended."""
    result = "ok" if set(counts) == {JobState.OK} else "failed"
    detail = f"{command.cmd}: " + ", ".join(f"{state} {counts[state]}" for state in sorted(counts))
    return Entry(command.actor, command.role, "endCommand", command.id, result, detail)
