"""Telemetry of this node: the outbox that carries rows to the server, the aggregation of stats, the message log."""

from __future__ import annotations

import asyncio
from functools import partial

from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.messages.answers import Answers
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.outbox import Outbox
from quarterdeck.agent.shipper import ship
from quarterdeck.agent.stats.stats import Stats
from quarterdeck.columns.outlet import Outlet
from quarterdeck.link.conversation import WhileLinked


class TelemetryParts:
    """The outbox is registered first, so it closes last: after everything that puts rows into it."""

    def __init__(self, assembly: AgentAssembly, context: Context) -> None:
        self.outbox = Outbox(context.home / "outbox", context.config.outbox)
        self.outlet = Outlet(emit=self.outbox.put, lose=self.outbox.lose)
        self.stats = Stats(context.config.stats, outlet=self.outlet, who=context.who, cache=context.home / "wasm")
        self.messages = MessageLog(context.home / "messages", outlet=self.outlet)
        assembly.parts.add("outbox", run=self.outbox.keep, close=self.outbox.close)
        assembly.parts.add("stats", run=self.stats.run, close=partial(asyncio.to_thread, self.stats.close))
        assembly.parts.add("messages", run=self.messages.keep, close=self.messages.close)
        assembly.topics += [WhileLinked(self._ship), Answers(self.messages, allow=context.config.jobs.allow)]

    async def _ship(self, link: LiveLink) -> None:
        await ship(self.outbox, link.telemetry())
