"""Reports to the server about this node's host and about costs, while a link is up. They always have the current state.

Each report is a topic that a noun registers with a function that creates it. This module does not depend on the
content of reports, except for the facts of the host, which are compared to those sent last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.conversation import WhileLinked
from quarterdeck.link.messages import FactsChanged, FromAgent
from quarterdeck.model.nodes import Facts

FACTS_INTERVAL_S = 60.0


class RegularReport(WhileLinked[LiveLink]):
    """Sends the result of `report` every `interval_s`, unless it is None."""

    def __init__(self, report: Callable[[], FromAgent | None], *, interval_s: float) -> None:
        super().__init__(self._report)
        self._make = report
        self._interval_s = interval_s

    async def _report(self, link: LiveLink) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            report = self._make()
            if report is not None:
                await link.send(report)


class FactsReport(WhileLinked[LiveLink]):
    """Reads the host's facts every `interval_s` and sends them when they have changed."""

    def __init__(self, facts: Callable[[], Facts], *, interval_s: float = FACTS_INTERVAL_S) -> None:
        super().__init__(self._report)
        self._look = facts
        self._interval_s = interval_s
        self.facts = facts()  #: as last sent to the server

    async def _report(self, link: LiveLink) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, looked + self._interval_s - time.monotonic()))
            looked = time.monotonic()
            facts = await asyncio.to_thread(self._look)
            if facts != self.facts:
                await link.send(FactsChanged(facts=facts))
                self.facts = facts
