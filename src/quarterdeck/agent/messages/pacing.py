"""Slows programs down to the speed of their followers, so that a follower stays near and no message is evicted unread.

Owns how far each job is ahead of each of its followers, in bytes of its messages. The printing side calls
`wait_for_followers` before its messages are taken; the reading side reports the pages that it was given. A job does not
wait for a follower that has sent no query for a while, nor when it is to end. Only jobs have followers: services are
never slowed down.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass, field

from quarterdeck.agent.messages.reader import PAGE_BYTES
from quarterdeck.agent.messages.runs import ENTRY_BYTES
from quarterdeck.kit.race import within
from quarterdeck.model.messages import PAGE_MESSAGES, MessageFilter, MessagePage

#: the bytes that a job may be ahead of a follower: this many of the follower's full pages, within these limits
AHEAD_PAGES = 3
AHEAD_LEAST_BYTES, AHEAD_MOST_BYTES = 64 * 1024, 4 * 1024 * 1024
#: the same before the follower had a page, while the length of the lines is not known
AHEAD_FIRST_BYTES = 256 * 1024
#: how long a job that has just started waits, when it prints much, for a follower that may be about to arrive
EXPECT_S = 1.0
#: a job may print this part of what a follower reads that is further behind
CATCH_UP = 1 / 4
#: how long a program waits for a follower that reads nothing
PATIENCE_S = 600.0
#: followers at one time; jobs of further followers are not slowed down
FOLLOWERS = 1000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Follower:
    """The state of one follower of a job."""

    allowed: int  #: bytes; up to where the job may print
    ahead: int  #: bytes; how far the job may be ahead
    limit: int  #: messages per page

    def has(self, page: MessagePage, *, before: int) -> None:
        """Allow more because it has this page."""
        weight = _weight(page)
        if page.messages:
            full = min(PAGE_BYTES, self.limit * weight // len(page.messages))
            self.ahead = max(AHEAD_LEAST_BYTES, min(AHEAD_MOST_BYTES, AHEAD_PAGES * full))
        most = before + self.ahead
        self.allowed = most if page.cursor is None else min(most, self.allowed + int(weight * CATCH_UP))


@dataclass(slots=True)
class _Pace:
    """The state of one job that is followed."""

    printed: int = 0  #: bytes, since the first follower
    followers: dict[int, _Follower] = field(default_factory=dict[int, _Follower])
    lifted: bool = False  #: the job is to end and waits for no follower
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def behind(self) -> list[int]:
        """Return the followers that the job has to wait for."""
        waited_for = {} if self.lifted else self.followers
        return [number for number, each in waited_for.items() if self.printed >= each.allowed]


class Pacing:
    """The pacing of all jobs of this node."""

    def __init__(self, *, expect_s: float = EXPECT_S, patience_s: float = PATIENCE_S) -> None:
        self._expect_s = expect_s
        self._patience_s = patience_s
        self._paces: dict[str, _Pace] = {}
        self._jobs: dict[int, str] = {}  # by follower; expected followers have negative numbers
        self._expected = itertools.count(-1, -1)

    def expect(self, job: str) -> None:
        """Note that the job starts: its client may be about to follow it, and is waited for shortly."""
        if "/" not in job and job not in self._paces and len(self._jobs) < FOLLOWERS:
            number = next(self._expected)
            self._add(number, job, limit=PAGE_MESSAGES)
            asyncio.get_running_loop().call_later(self._expect_s, self.leave, number)

    # ── who reads ────────────────────────────────────────────────────────────────────────────────────────────────────
    def follow(self, follower: int, wanted: MessageFilter) -> int:
        """Note that this follower looks for messages; return the bytes that its job printed before."""
        job = wanted.job_id
        if not job or "/" in job:
            return 0
        if follower not in self._jobs and len(self._jobs) < FOLLOWERS:
            expected = [number for number, its in self._jobs.items() if number < 0 and its == job]
            self._add(follower, job, limit=wanted.limit)
            for number in expected:
                self.leave(number)
        if (pace := self._paces.get(job)) is None:
            return 0
        if follower in pace.followers:
            pace.followers[follower].limit = wanted.limit
        return pace.printed

    def given(self, follower: int, page: MessagePage, *, before: int) -> None:
        """Note that the follower has this page; `before` is what `follow` returned.

        While there is more behind the page, the program may print a part of what the follower reads, so that the
        follower comes nearer, wherever it began.
        """
        pace = self._paces.get(self._jobs.get(follower, ""))
        if pace is None:
            return
        pace.followers[follower].has(page, before=before)
        pace.news.set()

    def _add(self, follower: int, job: str, *, limit: int) -> None:
        self._jobs[follower] = job
        pace = self._paces.setdefault(job, _Pace())
        pace.followers[follower] = _Follower(
            allowed=pace.printed + AHEAD_FIRST_BYTES, ahead=AHEAD_FIRST_BYTES, limit=limit
        )

    def leave(self, follower: int) -> None:
        """Note that the follower stopped reading."""
        job = self._jobs.pop(follower, "")
        if pace := self._paces.get(job):
            del pace.followers[follower]
            pace.news.set()
            if not pace.followers:
                del self._paces[job]

    def leave_all(self) -> None:
        """Note that all followers stopped reading."""
        for follower in list(self._jobs):
            self.leave(follower)

    # ── who prints ───────────────────────────────────────────────────────────────────────────────────────────────────
    async def wait_for_followers(self, job: str) -> None:
        """Wait until each follower of the job has read enough."""
        while (pace := self._paces.get(job)) and (behind := pace.behind()):
            pace.news.clear()
            if not await within(self._patience_s, pace.news.wait()):
                log.warning("the job '%s' waited %g s for its followers, and continues", job, self._patience_s)
                for follower in behind:
                    self.leave(follower)

    def printed(self, job: str, size: int) -> None:
        """Note that messages of the job of this size were taken."""
        if pace := self._paces.get(job):
            pace.printed += size

    def lift(self, job: str) -> None:
        """Stop pacing a job that is to end: what it still prints is taken as it comes."""
        if pace := self._paces.get(job):
            pace.lifted = True
            pace.news.set()


def _weight(page: MessagePage) -> int:
    """Return the bytes that the page's messages were counted with when they were taken."""
    return sum(len(each.raw) or len(each.data.encode()) for each in page.messages) + ENTRY_BYTES * len(page.messages)
