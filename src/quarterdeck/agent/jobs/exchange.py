"""What the server is still to be told of jobs, sent while a link is up, together what is due together.

Over each new link all results begin anew; what was taken does not, because the server then offers every job without a
result again, and is answered. Owns nothing that must survive: the ledger has it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.messages import JobResults, JobsStarted, JobsTaken
from quarterdeck.model.jobs import JobResult

#: characters of results, and how many of anything, that go into one message
_MESSAGE_CHARACTERS, _MESSAGE_ITEMS = 4 * 1024 * 1024, 1000
#: how long it is not said that a job was taken or began, as its result may come soon and say both
LINGER_S = 0.03


class Exchange:
    """Tells the server. `unsent` gives the results that it does not have."""

    def __init__(self, unsent: Callable[[], Iterable[JobResult]]) -> None:
        self._unsent = unsent
        self._news = asyncio.Event()
        self._ended = asyncio.Event()  # results are among the news
        self._taken: dict[str, float] = {}  # when it is to be said
        self._started: dict[str, float] = {}
        self._results: dict[str, JobResult] = {}
        self._sent: set[str] = set()  # results sent over this link, and not yet stored

    def taken(self, id_: str) -> None:
        """The ledger has this job."""
        self._taken[id_] = asyncio.get_running_loop().time() + LINGER_S
        self._news.set()

    def started(self, id_: str) -> None:
        """This job begins."""
        self._started[id_] = asyncio.get_running_loop().time() + LINGER_S
        self._news.set()

    def finished(self, result: JobResult) -> None:
        """The ledger has this result. Passed over when it is on its way."""
        if result.id in self._sent:
            return
        self._results[result.id] = result
        self._news.set()
        self._ended.set()

    def stored(self, ids: Iterable[str]) -> None:
        """The server has these results."""
        self._sent.difference_update(ids)

    async def run(self, live: LiveLink) -> None:
        """While a link is up."""
        self._sent.clear()
        self._results |= {result.id: result for result in self._unsent()}
        while True:
            self._news.clear()
            await self._send(live)
            if not (self._taken or self._started):
                await self._news.wait()
            await self._linger()

    async def _linger(self) -> None:
        """Until there is a result, or it is time to say what was taken or began: most jobs are over before."""
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
        # with what is due goes what soon would be: a message costs more than a word in it
        until = asyncio.get_running_loop().time() + LINGER_S / 2
        taken, self._taken = _due(self._taken, ended, until)
        started, self._started = _due(self._started, ended, until)
        for begin in range(0, len(taken), _MESSAGE_ITEMS):
            await live.send(JobsTaken(ids=taken[begin : begin + _MESSAGE_ITEMS]))
        for begin in range(0, len(started), _MESSAGE_ITEMS):
            await live.send(JobsStarted(ids=started[begin : begin + _MESSAGE_ITEMS]))
        for part in _parts(results):
            self._sent.update(result.id for result in part)
            await live.send(JobResults(results=part))


def _due(waiting: dict[str, float], ended: set[str], until: float) -> tuple[tuple[str, ...], dict[str, float]]:
    """What is to be said now, and what may wait. Of what has ended the result says all."""
    due = tuple(id_ for id_, when in waiting.items() if when <= until and id_ not in ended)
    return due, {id_: when for id_, when in waiting.items() if when > until and id_ not in ended}


def _parts(results: Iterable[JobResult]) -> Iterator[tuple[JobResult, ...]]:
    """Messages' worth of results."""
    part: list[JobResult] = []
    size = 0
    for result in results:
        characters = len(result.data) + sum(map(len, result.streams))
        if part and (len(part) == _MESSAGE_ITEMS or size + characters > _MESSAGE_CHARACTERS):
            yield tuple(part)
            part, size = [], 0
        part.append(result)
        size += characters
    if part:
        yield tuple(part)
