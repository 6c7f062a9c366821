"""Sends the news of jobs (taken, started, finished) to the server while a link is up, many in one message.

Over each new link all results are sent again; notices of taken jobs are not, because the server offers every job
without a result again, and gets an answer. Owns no durable state: the ledger has all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs.waits import WAITS
from quarterdeck.link.limits import JOBS_LIMIT, in_messages
from quarterdeck.link.messages import JobResults, JobsStarted, JobsTaken
from quarterdeck.model.jobs import JobResult

#: characters of results that go into one message
_MESSAGE_CHARACTERS = 4 * 1024 * 1024


class Exchange:
    """Sends the news. `unsent` returns the results that the server does not have."""

    def __init__(self, unsent: Callable[[], Iterable[JobResult]], *, linger_s: float = WAITS.linger_s) -> None:
        self._unsent = unsent
        self._linger_s = linger_s
        self._news = asyncio.Event()
        self._ended = asyncio.Event()  # the news include results
        self._taken: dict[str, float] = {}  # the time when each notice is due
        self._started: dict[str, float] = {}
        self._results: dict[str, JobResult] = {}
        self._sent: set[str] = set()  # results sent over this link that the server has not confirmed

    def taken(self, id_: str) -> None:
        """Note that the ledger has this job."""
        self._taken[id_] = asyncio.get_running_loop().time() + self._linger_s
        self._news.set()

    def started(self, id_: str) -> None:
        """Note that this job starts."""
        self._started[id_] = asyncio.get_running_loop().time() + self._linger_s
        self._news.set()

    def finished(self, result: JobResult) -> None:
        """Note that the ledger has this result. Ignored when it is being sent."""
        if result.id in self._sent:
            return
        self._results[result.id] = result
        self._news.set()
        self._ended.set()

    def stored(self, ids: Iterable[str]) -> None:
        """Note that the server has these results."""
        self._sent.difference_update(ids)

    async def run(self, live: LiveLink) -> None:
        """Send the news while the link is up."""
        self._sent.clear()
        self._results |= {result.id: result for result in self._unsent()}
        while True:
            self._news.clear()
            await self._send(live)
            if not (self._taken or self._started):
                await self._news.wait()
            await self._linger()

    async def _linger(self) -> None:
        """Wait until there is a result, or a notice is due: most jobs have finished by then."""
        due = min((when for waiting in (self._taken, self._started) for when in waiting.values()), default=None)
        try:
            async with asyncio.timeout_at(due):
                await self._ended.wait()
        except TimeoutError:
            return

    async def _send(self, live: LiveLink) -> None:
        self._ended.clear()
        results, self._results = tuple(self._results.values()), {}
        ended = {result.id for result in results}
        # news that are almost due are sent too: a message costs more than a word in it
        until = asyncio.get_running_loop().time() + self._linger_s / 2
        taken, self._taken = _due(self._taken, ended, until)
        started, self._started = _due(self._started, ended, until)
        for ids in in_messages(taken):
            await live.send(JobsTaken(ids=ids))
        for ids in in_messages(started):
            await live.send(JobsStarted(ids=ids))
        for part in _parts(results):
            self._sent.update(result.id for result in part)
            await live.send(JobResults(results=part))


def _due(waiting: dict[str, float], ended: set[str], until: float) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return the news that are due, and those that may wait. A result includes all other news of its job."""
    due = tuple(id_ for id_, when in waiting.items() if when <= until and id_ not in ended)
    return due, {id_: when for id_, when in waiting.items() if when > until and id_ not in ended}


def _parts(results: Iterable[JobResult]) -> Iterator[tuple[JobResult, ...]]:
    """Yield groups of results that fit one message."""
    part: list[JobResult] = []
    size = 0
    for result in results:
        characters = len(result.data) + sum(map(len, result.streams))
        if part and (len(part) == JOBS_LIMIT or size + characters > _MESSAGE_CHARACTERS):
            yield tuple(part)
            part, size = [], 0
        part.append(result)
        size += characters
    if part:
        yield tuple(part)
