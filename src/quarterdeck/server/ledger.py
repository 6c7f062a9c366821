"""The server's ledger of jobs: the one place where a job's row changes, and where followers hear of it.

Owns the rule that a job gets one result and never changes after (`JOB_TRANSITIONS`), and that a command ends, with an
entry in the audit log, in the transaction that stores the last result. Never talks to an agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.jobs import JOB_TRANSITIONS, JobResult, JobState
from quarterdeck.server.audit import Audit
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.jobs import JobRow, StoredCommand
from quarterdeck.store.state.nodes import NodeKey


def moved(
    row: JobRow, state: JobState, *, reason: str = "", result: JobResult | None = None, accepted_at: float = 0.0
) -> JobRow | None:
    """The job in another state; None where it may not follow, or already is there."""
    if row.state is state or not JOB_TRANSITIONS.allows(row.state, state):
        return None
    accept_time = row.accept_time or accepted_at
    return msgspec.structs.replace(row, state=state, reason=reason, result=result, accept_time=accept_time)


class Ledger:
    """Stores changes of jobs. After each transaction the caller says `tell`."""

    def __init__(self, audit: Audit, *, clock: Callable[[], float] = time.time) -> None:
        self.audit = audit
        self._clock = clock
        self._followers: dict[int, set[asyncio.Event]] = {}
        self._listeners: list[Callable[[Iterable[int]], None]] = []

    async def store(self, transaction: AsyncConnection, changed: Sequence[JobRow]) -> set[int]:
        """Jobs as they are now; the numbers of their commands, to be told of after the transaction."""
        await rows.save(transaction, changed, now=self._clock())
        numbers = {row.command for row in changed}
        if any(row.state not in rows.UNFINISHED for row in changed):
            await self._end(transaction, numbers)
        return numbers

    async def end_node(
        self, transaction: AsyncConnection, key: NodeKey, *, reason: str, only_offered: bool = False
    ) -> set[int]:
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

    def listen(self, listener: Callable[[Iterable[int]], None]) -> None:
        """Have `listener` told of the commands whose jobs have changed."""
        self._listeners.append(listener)

    def tell(self, numbers: Iterable[int]) -> None:
        """Jobs of these commands changed, and it is on disk."""
        numbers = list(numbers)
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
