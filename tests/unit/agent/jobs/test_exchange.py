"""The news of jobs that are sent to the server, and those that a result makes unnecessary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs.exchange import Exchange
from quarterdeck.link.messages import FromAgent, JobResults, JobsStarted, JobsTaken
from quarterdeck.model.jobs import JobResult, JobState
from tests.support import until


class FakeLink:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[FromAgent] = []

    async def send(self, message: FromAgent) -> None:
        self.sent.append(message)


def result(id_: str) -> JobResult:
    return JobResult(id=id_, state=JobState.OK)


@asynccontextmanager
async def linked(exchange: Exchange) -> AsyncGenerator[FakeLink]:
    link = FakeLink()
    running = asyncio.create_task(exchange.run(cast("LiveLink", link)))
    yield link
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_result_that_comes_soon_says_all_and_others_still_wait() -> None:
    exchange = Exchange(lambda: (), linger_s=3600.0)
    async with linked(exchange) as link:
        for id_ in "ab":
            exchange.taken(id_)
            exchange.started(id_)
        exchange.finished(result("a"))
        await until(lambda: bool(link.sent))
        exchange.finished(result("b"))
        await until(lambda: len(link.sent) == 2)
    assert link.sent == [JobResults(results=(result("a"),)), JobResults(results=(result("b"),))]


async def test_what_lasts_is_said_to_be_taken_and_begun() -> None:
    exchange = Exchange(lambda: ())
    async with linked(exchange) as link:
        for id_ in "ab":
            exchange.taken(id_)
            exchange.started(id_)
        await until(lambda: len(link.sent) == 2)
        assert link.sent == [JobsTaken(ids=("a", "b")), JobsStarted(ids=("a", "b"))]
        exchange.taken("c")
        await until(lambda: len(link.sent) == 3)
        exchange.finished(result("a"))
        await until(lambda: len(link.sent) == 4)
    assert link.sent[2:] == [JobsTaken(ids=("c",)), JobResults(results=(result("a"),))]
