"""The cost of an agent with every built-in module on an idle host.

The agent runs as a process; its server is the real end of the link over a fleet in memory, in this process: a server
with its stores on the same machine would open a hundred files a second, and the agent would report them. All built-in
modules are wanted; when they run and have settled, nothing is asked for 60 s. What is measured: the agent's resident
memory, looked at once a second (the mean; it breathes by a few megabytes as pages of libraries are given back and taken
again), and its CPU time over the 60 s. `rows_per_s` says how quiet the host really was.

Peer, in the same 60 s: bpftrace with one program that prints every program started (`execs` alone does more).

Target: ≤ 90 MB resident, ≤ 1.5 % of one core.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from bench.bpftrace import Bpftrace
from bench.measure import Target, note, process_cpu_s, process_rss_mb, report
from quarterdeck.link.messages import PlacementReport
from quarterdeck.model.modules import MODULE, DesiredInstance, InstanceState
from quarterdeck.modulekit.builtin import Builtins
from quarterdeck.testing.fleet import MemoryFleet
from quarterdeck.testing.link import LinkServer
from quarterdeck.testing.placements import desired_set
from tests.fleet import Process

SETTLE_S, QUIET_S, DEADLINE_S = 25.0, 60.0, 60.0
SCRIPT = 'tracepoint:sched:sched_process_exec { printf("%llu %d %s\\n", nsecs, pid, comm); }'


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder:
        asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> None:
    async with LinkServer(folder / "server") as server:
        names = _want_builtins(server.fleet)
        token = await server.new_token()
        agent = Process(folder / "agent", ("agent", "--server", server.address, "--token", token), {}).start()
        try:
            await _running(server.fleet, len(names))
            note(f"agent {agent.pid}; {len(names)} modules run: {', '.join(names)}")
            with Bpftrace(SCRIPT, folder) as bpftrace:
                await asyncio.sleep(SETTLE_S)  # what loading took is not idling
                pids = agent.pid, bpftrace.pid
                rows, before_s, began = _rows(server.fleet), [process_cpu_s(pid) for pid in pids], time.monotonic()
                ours_mb, theirs_mb = await _mean_rss_mb(pids, until=began + QUIET_S)
                seconds = time.monotonic() - began
                ours, theirs = (100 * (process_cpu_s(pid) - s) / seconds for pid, s in zip(pids, before_s, strict=True))
                rows = _rows(server.fleet) - rows
        finally:
            await asyncio.to_thread(agent.stop)
    report(
        "agent_idle",
        figures={"cpu_percent": ours, "rss_mb": ours_mb, "modules": len(names), "rows_per_s": rows / seconds},
        peer={"name": "bpftrace with one program", "cpu_percent": theirs, "rss_mb": theirs_mb},
        ratio=theirs_mb / ours_mb,
        targets=(Target("rss_mb", at_most=90), Target("cpu_percent", at_most=1.5)),
    )


def _want_builtins(fleet: MemoryFleet) -> tuple[str, ...]:
    builtins = Builtins()
    instances: list[DesiredInstance] = []
    for name in builtins.names():
        built = builtins.get(name)
        for content in built.artefacts.values():
            fleet.add_artefact(content)
        instances.append(DesiredInstance.of(built.build, id=name))
    fleet.sets[1, 1] = desired_set(1, modules=instances)
    return builtins.names()


async def _running(fleet: MemoryFleet, count: int) -> None:
    """Wait until the agent reports this many running instances."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            reports = [each for _, each in fleet.received_messages if isinstance(each, PlacementReport)]
            reports = [report for report in reports if report.kind == MODULE]
            states = [InstanceState(status["state"]) for status in reports[-1].statuses] if reports else []
            if states.count(InstanceState.SUCCEEDED) == count:
                return
            if InstanceState.FAILED in states:
                raise RuntimeError(f"a module does not run: {reports[-1].statuses}")
            await asyncio.sleep(0.2)


def _rows(fleet: MemoryFleet) -> int:
    """Return the rows that have arrived so far."""
    return sum(batch.rows for batch in fleet.batches.values())


async def _mean_rss_mb(pids: Sequence[int], *, until: float) -> list[float]:
    """Measure each process once a second until that monotonic time."""
    looks: list[list[float]] = []
    while time.monotonic() < until:
        looks.append([process_rss_mb(pid) for pid in pids])
        await asyncio.sleep(1.0)
    return [mean(each) for each in zip(*looks, strict=True)]
