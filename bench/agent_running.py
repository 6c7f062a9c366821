"""The cost of an agent and its keeper that run 100 idle services.

A server and an agent run as processes; no modules are deployed. First the agent idles, then 100 services that sleep run
on it, looked at every 30 s as always (CPU, memory, I/O of each tree). Measured is the resident memory of agent and
keeper together, less what the agent took before, and their CPU time over 60 s.

Peer, in the same run: supervisord with 100 programs, which are kept alive and not looked at.

Target: ≤ 30 MB above idle, ≤ 1 % of one core.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from bench.measure import Target, note, process_cpu_s, process_rss_mb, report
from bench.services import PEER, apply, keeper_of, remove, supervisord
from tests.fleet import Fleet

SETTLE_S, IDLE_S, QUIET_S = 10.0, 5.0, 60.0


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        agent = fleet.join("bench").pid
        time.sleep(SETTLE_S)
        idle_mb, idle_percent = _cost([agent], IDLE_S)
        note(f"idle: {idle_mb:.0f} MB, {idle_percent:.1f} %")
        apply(fleet)
        time.sleep(SETTLE_S)
        pids = agent, keeper_of(fleet, "bench")
        running_mb, percent = _cost(pids, QUIET_S)
        keeper_mb = process_rss_mb(pids[1])
        note(f"running: {running_mb:.0f} MB ({keeper_mb:.0f} of the keeper), {percent:.1f} %")
        remove(fleet)
    with supervisord() as peer:
        theirs_mb, theirs_percent = _cost([peer], QUIET_S / 4) if peer else (0.0, 0.0)
    report(
        "agent_running",
        figures={
            "above_idle_mb": running_mb - idle_mb,
            "cpu_percent": percent,
            "idle_mb": idle_mb,
            "idle_cpu_percent": idle_percent,
            "keeper_mb": keeper_mb,
        },
        peer={"name": PEER, "rss_mb": theirs_mb, "cpu_percent": theirs_percent}
        if theirs_mb
        else {"name": f"{PEER}: not installable here"},
        ratio=theirs_mb / (running_mb - idle_mb) if theirs_mb else None,
        targets=(Target("above_idle_mb", at_most=30), Target("cpu_percent", at_most=1)),
    )


def _cost(pids: Sequence[int], seconds: float) -> tuple[float, float]:
    """Return the megabytes, sampled once a second, and the percentage of a core of these processes together."""
    began, before_s = time.monotonic(), process_cpu_s(*pids)
    looks: list[float] = []
    while time.monotonic() < began + seconds:
        looks.append(sum(map(process_rss_mb, pids)))
        time.sleep(1)
    return mean(looks), 100 * (process_cpu_s(*pids) - before_s) / (time.monotonic() - began)
