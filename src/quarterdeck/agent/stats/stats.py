"""Statsd as the agent runs it: the aggregator, its listeners, and the clock of its intervals.

Level-10 messages of processes come through `feed`, packets of applications through the listeners. A listener that
cannot be opened (another agent uses the port, for example) is logged once and retried every interval; the rest
continues.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.listener import Listener, udp_socket, unix_socket
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.stats import STATS_TABLE, StatsConfig, StatSource

log = logging.getLogger(__name__)


class Stats:
    """The statsd service of an agent. `who`: the node, by its certificate. `cache`: where the guest is kept."""

    def __init__(
        self,
        config: StatsConfig,
        *,
        outlet: Outlet,
        who: Callable[[], AgentIdentity],
        cache: Path | None = None,
    ) -> None:
        self._config = config
        self._outlet = outlet
        self._who = who
        self._aggregator = Aggregator(outlet, cache=cache)
        self._openers = {
            name: opener
            for name, wanted, opener in (
                ("udp", config.statsd_udp, lambda: udp_socket(config.statsd_udp)),
                ("unix", config.statsd_unix, lambda: unix_socket(Path(config.statsd_unix))),
            )
            if wanted
        }
        self._listeners: dict[str, Listener] = {}
        self._refused: set[str] = set()
        self._turned_s = time.monotonic()

    def feed(self, source: StatSource, lines: bytes | memoryview) -> None:
        """Take lines of statsd: the level-10 messages of a process, many at a time. May be called from any thread."""
        self._aggregator.feed(source, lines)

    @property
    def listeners(self) -> dict[str, Listener]:
        """Return the open listeners: "udp", "unix"."""
        return dict(self._listeners)

    async def run(self) -> None:
        """Listen, and start an interval every `flush_s`, without end."""
        while True:
            self.listen()
            await asyncio.sleep(max(0.0, self._turned_s + self._config.flush_s - time.monotonic()))
            await asyncio.to_thread(self.flush)

    def listen(self) -> None:
        """Open the configured listeners that are not open."""
        for name, opener in self._openers.items():
            if name in self._listeners and not self._listeners[name].alive:
                self._end(name)
            if name in self._listeners:
                continue
            try:
                self._listeners[name] = Listener(opener(), name=name, aggregator=self._aggregator)
            except (OSError, ValueError) as error:
                if name not in self._refused:
                    wanted = {"udp": self._config.statsd_udp, "unix": self._config.statsd_unix}[name]
                    log.warning("statsd does not listen at %s (retried every interval): %s", wanted, error)
                self._refused.add(name)
            else:
                self._refused.discard(name)
                log.info("statsd listens by %s at %s", name, self._listeners[name].address)

    def flush(self) -> int:
        """End the interval now; return its number of rows."""
        now_s = time.monotonic()
        interval_ns, self._turned_s = max(1, round((now_s - self._turned_s) * 1e9)), now_s
        for listener in list(self._listeners.values()):
            self._count(listener)
        who = self._who()
        return self._aggregator.flush(gid=who.gid, nid=who.nid, time_ns=time.time_ns(), interval_ns=interval_ns)

    def close(self) -> None:
        """Take the packets that have arrived, emit the last interval, and end."""
        for name in list(self._listeners):
            self._end(name)
        self.flush()
        self._aggregator.close()

    def _end(self, name: str) -> None:
        listener = self._listeners.pop(name)
        listener.finish()
        self._count(listener)
        listener.close()
        if name == "unix":
            Path(self._config.statsd_unix).unlink(missing_ok=True)

    def _count(self, listener: Listener) -> None:
        """Log and count the packets that the kernel dropped."""
        if lost := listener.lost():
            detail = f"packets that found no room in the {listener.name} socket"
            log.warning("statsd lost %d %s", lost, detail)
            self._outlet.lose(
                Loss(
                    table=STATS_TABLE.name,
                    reason=LossReason.RING_FULL,
                    rows=lost,
                    time_ns=time.time_ns(),
                    detail=detail,
                )
            )
