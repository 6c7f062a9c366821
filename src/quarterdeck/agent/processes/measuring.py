"""The resource usage of processes, and the samples that they print: both go to the statsd aggregator, off the event
loop.

Every `stats_interval`, the whole tree of a process is measured. The latest values of all processes with the same
command, domain and name are summed up as gauges: `_cpu_` (per cent of one CPU), `_rss_`, `_vms_`, `_swap_` (bytes),
`_threads_`, `_fds_`, `_read_bytes_` and `_written_bytes_` (bytes since they began). This module owns the measurements;
the aggregator owns the sums over time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from quarterdeck.agent.processes.stats import Counters, Measured, Stats, together
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.kit.tasks import noticed
from quarterdeck.model.processes import ProcessStats
from quarterdeck.model.stats import StatSource

#: between looks whether one is due
TICK_S = 1.0
#: a process younger than this is taken for so old
MIN_AGE_S = 0.01
#: how long samples wait for more
GATHER_S = 0.1

#: takes lines of statsd, from any thread
Feed = Callable[[StatSource, bytes], None]


class Measuring:
    """Measures processes and passes the values to `feed`."""

    def __init__(self, counters: Counters, *, feed: Feed) -> None:
        self._feed = feed
        self._stats = Stats(counters)
        self._asked = Stats(counters)
        self._looking = asyncio.Lock()
        self._asked_before: set[str] = set()
        self._found: dict[str, ProcessStats] = {}  # at the last look; the first does not know how much CPU is used
        self._samples: dict[StatSource, list[bytes]] = {}
        self._news = asyncio.Event()

    def sampled(self, process: Process, samples: Sequence[bytes]) -> None:
        """Take samples that a process printed (level 10)."""
        self._samples.setdefault(_source(process), []).extend(samples)
        self._news.set()

    def forget(self, process_id: str) -> None:
        """Forget a process that has ended."""
        self._found.pop(process_id, None)
        self._asked_before.discard(process_id)
        self._stats.forget(process_id)
        self._asked.forget(process_id)

    async def run(self, running: Callable[[], tuple[SupervisedProcess, ...]]) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(noticed(self._feed_samples()))
            group.create_task(noticed(self._look_around(running)))

    async def look(self, kept: Sequence[SupervisedProcess]) -> list[ProcessStats]:
        """Return the current use of these processes; CPU since the last call, or else since their start."""
        began = {each.id: each.state.began for each in kept if each.pid is not None}
        measured = [_measured(each) for each in kept if each.pid is not None]
        async with self._looking:
            first = began.keys() - self._asked_before
            self._asked_before |= began.keys()
            now = time.monotonic()
            found = await asyncio.to_thread(self._asked.look, measured, now=now)
        return [
            msgspec.structs.replace(each, cpu=100 * each.cpu_s / max(MIN_AGE_S, now - began[each.id]))
            if each.id in first
            else each
            for each in found
        ]

    async def flush(self) -> None:
        """Feed the samples that wait."""
        samples, self._samples = self._samples, {}
        if samples:
            await asyncio.to_thread(self._feed_all, samples)

    async def _feed_samples(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_S)
            self._news.clear()
            await self.flush()

    def _feed_all(self, samples: dict[StatSource, list[bytes]]) -> None:
        for source, lines in samples.items():
            self._feed(source, b"\n".join(lines))

    async def _look_around(self, running: Callable[[], tuple[SupervisedProcess, ...]]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.look_around(running(), now=time.monotonic())

    async def look_around(self, running: Iterable[SupervisedProcess], *, now: float) -> None:
        """Look at those that are due, and feed what they use together with others of their command, domain and name."""
        kept = {each.id: each for each in running}
        due = self._stats.due(map(_measured, kept.values()), now=now)
        if not due:
            return
        found = await asyncio.to_thread(self._stats.look, due, now=now)
        alike: dict[StatSource, list[ProcessStats]] = {
            _source(kept[each.id].process): [] for each in found if each.id in self._found
        }
        self._found.update((each.id, each) for each in found)
        for each in kept.values():
            if (source := _source(each.process)) in alike and each.id in self._found:
                alike[source].append(self._found[each.id])
        await asyncio.to_thread(self._feed_looks, alike)

    def _feed_looks(self, alike: Mapping[StatSource, Sequence[ProcessStats]]) -> None:
        for source, found in alike.items():
            self._feed(source, _gauges(together(found)))


def _source(process: Process) -> StatSource:
    return StatSource(cmd=process.cmd, domain=process.settings.domain, name=process.settings.name)


def _measured(kept: SupervisedProcess) -> Measured:
    settings = kept.process.settings
    return Measured(
        id=kept.id,
        pid=kept.pid or 0,
        domain=settings.domain,
        name=settings.name,
        stats_interval=kept.stats_interval,
        also=tuple(kept.output.meter),
    )


def _gauges(stats: ProcessStats) -> bytes:
    values = {
        "_cpu_": round(stats.cpu, 3),
        "_rss_": stats.rss,
        "_vms_": stats.vms,
        "_swap_": stats.swap,
        "_threads_": stats.threads,
        "_fds_": stats.descriptors,
        "_read_bytes_": stats.read_bytes,
        "_written_bytes_": stats.written_bytes,
    }
    return "\n".join(f"{key}:{value}|g" for key, value in values.items()).encode()
