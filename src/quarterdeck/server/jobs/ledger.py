"""The server's ledger of jobs: the only place where a job's row changes.

Owns the rule that a job gets one result and never changes after it (`JOB_TRANSITIONS`), and that a command ends, with
an entry in the audit log, in the transaction that stores the last result. It never talks to an agent.
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
from quarterdeck.server.signals import Signal, Signals
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.jobs import JobRow, StoredCommand

#: numbers of commands of which a job has changed
COMMANDS = Signal("commands", int)


def moved(
    row: JobRow, state: JobState, *, reason: str = "", result: JobResult | None = None, accepted_at: float = 0.0
) -> JobRow | None:
    """Return the job in another state, or None if it is in that state already or the transition is not allowed."""
    if row.state is state or not JOB_TRANSITIONS.allows(row.state, state):
        return None
    accept_time = row.accept_time or accepted_at
    return msgspec.structs.replace(row, state=state, reason=reason, result=result, accept_time=accept_time)


class Changes(NamedTuple):
    """Changed jobs, to be published when the transaction is on disk."""

    rows: Sequence[JobRow]
    time: float


NOTHING = Changes((), 0.0)


class Watch:
    """The jobs of one command, updated in memory as they are stored; `finished` is set when all have a result."""

    def __init__(self) -> None:
        self.jobs: dict[NodeKey, Job] = {}
        self.finished = asyncio.Event()
        self.number = 0  #: number of the command; 0 until it is stored
        self.ended = False  #: its caller has stopped watching
        self._open = 0

    def begin(self, number: int, jobs: Mapping[NodeKey, Job]) -> None:
        """Start with the jobs of a command that was stored; none of them has a result."""
        self.number, self.jobs, self._open = number, dict(jobs), len(jobs)

    def changed(self, row: JobRow, time: float) -> None:
        """Update a job whose change was stored."""
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
            self.finished.set()


class Ledger:
    """Stores changes of jobs. The caller publishes them with `tell` after each transaction."""

    def __init__(self, audit: Audit, *, signals: Signals, clock: Callable[[], float] = time.time) -> None:
        self.audit = audit
        self._signals = signals
        self._clock = clock
        self._watches: dict[int, Watch] = {}

    async def store(self, transaction: AsyncConnection, changed: Sequence[JobRow]) -> Changes:
        """Store changed jobs; return what to pass to `tell` after the transaction."""
        now = self._clock()
        await rows.save(transaction, changed, now=now)
        if any(is_final(row.state) for row in changed):
            await self._end(transaction, {row.command for row in changed})
        return Changes(changed, now)

    async def end_node(
        self, transaction: AsyncConnection, key: NodeKey, *, reason: str, only_offered: bool = False
    ) -> Changes:
        """Set the jobs of a removed node or a replaced agent to LOST; return what `store` returns.

        With `only_offered`, jobs that were never offered to the agent stay open.
        """
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

    # ── who waits for changes ────────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def watch(self) -> Generator[Watch]:
        """Return a watch for a command that is about to be stored; start it with `begin`."""
        watch = Watch()
        try:
            yield watch
        finally:
            watch.ended = True
            self._watches.pop(watch.number, None)

    def begin(self, watch: Watch, number: int, jobs: Mapping[NodeKey, Job]) -> None:
        """Start a watch when its command was stored, before any other task can change the command's jobs."""
        if not watch.ended:
            watch.begin(number, jobs)
            self._watches[number] = watch

    def tell(self, changes: Changes) -> None:
        """Update the watches with changes that are on disk, and signal them."""
        for row in changes.rows:
            if watch := self._watches.get(row.command):
                watch.changed(row, changes.time)
        self._signals.send(COMMANDS, (row.command for row in changes.rows))


def _entry(command: StoredCommand, counts: Mapping[JobState, int]) -> Entry:
    """Return the audit entry of a command that has ended."""
    result = "ok" if set(counts) == {JobState.OK} else "failed"
    detail = f"{command.cmd}: " + ", ".join(f"{state} {counts[state]}" for state in sorted(counts))
    return Entry(command.actor, command.role, "endCommand", command.id, result, detail)
