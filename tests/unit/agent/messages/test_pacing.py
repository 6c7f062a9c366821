"""How far a job may be ahead of its follower: a few of the follower's pages, whatever the length of its lines."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.agent.messages.pacing import AHEAD_FIRST_BYTES, AHEAD_MOST_BYTES, AHEAD_PAGES, Pacing
from quarterdeck.agent.messages.reader import PAGE_BYTES
from quarterdeck.agent.messages.runs import ENTRY_BYTES
from quarterdeck.model.messages import PAGE_MESSAGES, Message, MessageFilter, MessagePage

FOLLOWER = 1
WANTED = MessageFilter(job_id="job")


class Flood:
    """A job that prints lines of this size as far as it may, and a follower that reads page after page."""

    def __init__(self, line_bytes: int) -> None:
        self.pacing = Pacing()
        self.pacing.follow(FOLLOWER, WANTED)
        self.line = "x" * line_bytes
        self.size = line_bytes + ENTRY_BYTES
        self.printed = self.read = 0  # lines

    async def print(self) -> None:
        """Print as much as the job may."""
        while True:
            room = self.pacing.wait_for_followers("job")
            try:
                room.send(None)
            except StopIteration:
                self.pacing.printed("job", self.size)
                self.printed += 1
            else:
                room.close()
                return

    def follow(self) -> int:
        """Read one page; return its number of lines."""
        before = self.pacing.follow(FOLLOWER, WANTED)
        most = max(1, min(PAGE_MESSAGES, PAGE_BYTES // self.size))
        count = min(most, self.printed - self.read)
        self.read += count
        more = self.printed > self.read
        message = Message(id=1, job_id="job", epoch=1, level=1, data=self.line)
        page = MessagePage(messages=(message,) * count, cursor="1" if more else None, resume="1")
        self.pacing.given(FOLLOWER, page, before=before)
        return count


@pytest.mark.parametrize("line_bytes", [0, 1, 8, 100, 4000, 200_000])
async def test_a_job_is_a_few_pages_ahead_and_fills_the_pages(line_bytes: int) -> None:
    flood = Flood(line_bytes)
    counts: list[int] = []
    for _ in range(40):
        await flood.print()
        counts.append(flood.follow())
        full = max(1, min(PAGE_MESSAGES, PAGE_BYTES // flood.size))
        assert flood.printed - flood.read <= max(AHEAD_FIRST_BYTES // flood.size, (AHEAD_PAGES + 1) * full) + 1
    assert sum(counts[-10:]) > 7 * full, "pages are full, or the follower waits for the program"


async def test_what_was_printed_before_a_follower_came_is_caught_up_with() -> None:
    flood = Flood(100)
    flood.printed += 100_000
    distance = [flood.printed]
    while distance[-1] > 10 * PAGE_MESSAGES:
        await flood.print()
        flood.follow()
        distance.append(flood.printed - flood.read)
    assert distance[-1] < distance[0]
    assert flood.read < 300_000, "it comes nearer with each page"


def test_the_limits_are_in_order() -> None:
    assert AHEAD_FIRST_BYTES < AHEAD_PAGES * PAGE_BYTES <= AHEAD_MOST_BYTES


async def test_a_job_that_starts_waits_shortly_for_a_follower_that_is_about_to_come() -> None:
    flood = Flood(100)
    flood.pacing = Pacing()
    flood.pacing.expect("job")
    await flood.print()
    assert flood.printed <= AHEAD_FIRST_BYTES // flood.size + 1
    flood.follow()
    await flood.print()
    assert flood.printed > AHEAD_FIRST_BYTES // flood.size + 1, "it goes on as that reads"
    pacing = Pacing(expect_s=0.01)
    pacing.expect("job")
    pacing.printed("job", AHEAD_FIRST_BYTES)
    async with asyncio.timeout(60):
        await pacing.wait_for_followers("job")


async def test_a_job_waits_only_so_long_for_a_follower_that_reads_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pacing = Pacing(patience_s=0.01)
    pacing.follow(FOLLOWER, WANTED)
    for _ in range(2):  # and not again for the same follower
        pacing.printed("job", AHEAD_FIRST_BYTES)
        async with asyncio.timeout(60):
            await pacing.wait_for_followers("job")
    assert caplog.text.count("the job 'job' waited 0.01 s for its followers, and continues") == 1
