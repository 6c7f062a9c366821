"""What one connected node is to be told of its jobs: new ones from memory, all else as the store has it.

A job that was just stored is at hand and need not be read. But what was there before the connection, what there is too
much of, and what somebody asked the end of is read, in the order of the commands. A job that is offered twice does no
harm; none is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from quarterdeck.link.messages import JobOffers, ToAgent
from quarterdeck.server.jobs.jobs import OFFERS, NextJobs
from quarterdeck.server.sessions.links import NewJob


class Upcoming:
    """`read` gives what is to be told after the command of that number."""

    def __init__(self, read: Callable[[int], Awaitable[NextJobs]]) -> None:
        self._read = read
        self._number = 0  # the last command that was offered
        self._behind = True  # the store has more to tell
        self._new: list[NewJob] = []
        self._missed: int | None = None  # the first command that was to be told from memory and was not
        self._news = asyncio.Event()
        self._news.set()

    def changed(self) -> None:
        """The store has more to tell."""
        self._behind = True
        self._news.set()

    def add(self, new: Sequence[NewJob]) -> None:
        """These were just stored, as offered."""
        if self._behind or len(self._new) + len(new) > OFFERS:
            first = min(each.number for each in new)
            self._missed = first if self._missed is None else min(first, self._missed)
            self._behind = True
        else:
            self._new += new
        self._news.set()

    async def next(self) -> Sequence[ToAgent]:
        """The next messages to send, when there are any. They are taken for sent."""
        await self._news.wait()
        self._news.clear()
        if new := self._new:  # before what is read: it may ask for the end of one of these
            self._new = []
            self._number = max(self._number, *(each.number for each in new))
            if self._behind:
                self._news.set()
            return [JobOffers(jobs=tuple(each.offer for each in new))]
        after, self._missed = self._number if self._missed is None else min(self._number, self._missed - 1), None
        upcoming = await self._read(after)
        self._number = max(self._number, upcoming.number) if not upcoming.more else upcoming.number
        self._behind = upcoming.more or self._news.is_set()
        if upcoming.more:
            self._news.set()
        return upcoming.messages
