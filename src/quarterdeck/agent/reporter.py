"""Tells the server how this node and what runs on it does, while a link is up. Always the present state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.messages import FactsChanged, FromAgent, InstanceReport, ServiceReport, StatsReport
from quarterdeck.link.race import until_first
from quarterdeck.model.nodes import Facts

FACTS_INTERVAL_S = 60.0
#: changes that follow one another this closely become one report
_GATHER_S = 0.05


class Reporter:
    """Sends reports when `changed` was called, stats every `stats_interval_s`, facts when they changed."""

    def __init__(
        self,
        *,
        instances: Callable[[], InstanceReport],
        services: Callable[[], ServiceReport],
        stats: Callable[[], StatsReport],
        facts: Callable[[], Facts],
        stats_interval_s: float,
    ) -> None:
        self._instances = instances
        self._services = services
        self._stats = stats
        self._facts = facts
        self._stats_interval_s = stats_interval_s
        self._news, self._service_news = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.facts = facts()  #: as last told to the server

    def changed(self) -> None:
        """The state of an instance changed. From any thread."""
        self._loop.call_soon_threadsafe(self._news.set)

    def services_changed(self) -> None:
        """The state of a service changed. In the event loop."""
        self._service_news.set()

    async def run(self, live: LiveLink) -> None:
        """While a link is up."""
        await until_first(
            _report(live, self._instances, self._news),
            _report(live, self._services, self._service_news),
            self._report_stats(live),
            self._report_facts(live),
        )

    async def _report_stats(self, live: LiveLink) -> None:
        while True:
            await asyncio.sleep(self._stats_interval_s)
            report = self._stats()
            if report.stats:
                await live.send(report)

    async def _report_facts(self, live: LiveLink) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, looked + FACTS_INTERVAL_S - time.monotonic()))
            looked = time.monotonic()
            facts = await asyncio.to_thread(self._facts)
            if facts != self.facts:
                await live.send(FactsChanged(facts=facts))
                self.facts = facts


async def _report(live: LiveLink, report: Callable[[], FromAgent], news: asyncio.Event) -> None:
    """Once at the start, and again at each change."""
    while True:
        news.clear()
        await live.send(report())
        await news.wait()
        await asyncio.sleep(_GATHER_S)
