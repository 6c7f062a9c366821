"""The messages about jobs to one connected agent: new jobs from memory, all others from the store.

A job that was just stored is offered without reading it. Jobs from before the connection, jobs beyond the size of a
message, and kills are read from the store, in the order of the commands. A job may be offered twice, which is harmless;
none is left out. Owns the position of this agent in the sequence of commands. It never sends a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from quarterdeck.link.messages import JobOffers, ToAgent
from quarterdeck.model.jobs import JobOffer
from quarterdeck.server.jobs.jobs import OFFERS, NextJobs


class NewJob(NamedTuple):
    """A job that was just stored, as offered to its node."""

    number: int  #: number of its command
    offer: JobOffer


class Upcoming:
    """The next messages to one agent. `read` returns those after the command with a given number."""

    def __init__(self, read: Callable[[int], Awaitable[NextJobs]]) -> None:
        self._read = read
        self._number = 0  # of the last command that was offered
        self._behind = True  # the store has messages that were not read
        self._new: list[NewJob] = []
        self._missed: int | None = None  # of the first new command that was not kept in memory
        self._news = asyncio.Event()
        self._news.set()

    def changed(self) -> None:
        """Note that the store has further messages."""
        self._behind = True
        self._news.set()

    def add(self, new: Sequence[NewJob]) -> None:
        """Add jobs that were just stored, marked as offered."""
        if self._behind or len(self._new) + len(new) > OFFERS:
            first = min(each.number for each in new)
            self._missed = first if self._missed is None else min(first, self._missed)
            self._behind = True
        else:
            self._new += new
        self._news.set()

    async def next(self) -> Sequence[ToAgent]:
        """Wait for the next messages and return them. They count as sent."""
        await self._news.wait()
        self._news.clear()
        if new := self._new:  # sent before stored messages, which may kill one of these jobs
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
