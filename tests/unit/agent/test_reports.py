"""Reports: sent regularly where there is something to report, and facts when they changed."""

from __future__ import annotations

import asyncio
from typing import cast

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.reports import FactsReport, RegularReport
from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import FactsChanged, FromAgent, StatsReport
from quarterdeck.model.nodes import Facts
from tests.support import until


class Link:
    def __init__(self) -> None:
        self.sent: list[FromAgent] = []

    async def send(self, message: FromAgent) -> None:
        self.sent.append(message)


async def end(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def begin(conversation: Conversation) -> asyncio.Task[None]:
    return asyncio.create_task(conversation.run())


async def test_a_regular_report_is_left_out_when_there_is_nothing() -> None:
    link, made = Link(), [None, StatsReport(stats=()), None]
    report = RegularReport(lambda: made.pop() if made else None, interval_s=0.0)
    running = begin(report.open(cast("LiveLink", link)))
    await until(lambda: not made)
    await end(running)
    assert link.sent == [StatsReport(stats=())]


async def test_facts_are_sent_when_they_changed_and_not_again_over_the_next_link() -> None:
    now, looked = Facts(hostname="one"), 0

    def look() -> Facts:
        nonlocal looked
        looked += 1
        return now

    report = FactsReport(look, interval_s=0.0)
    link = Link()
    running = begin(report.open(cast("LiveLink", link)))
    await until(lambda: looked > 3)
    assert link.sent == []
    now = Facts(hostname="two")
    await until(lambda: link.sent == [FactsChanged(facts=now)])
    await end(running)
    assert report.facts == now
    again = Link()
    before = looked
    running = begin(report.open(cast("LiveLink", again)))
    await until(lambda: looked > before + 2)
    await end(running)
    assert again.sent == []
