"""What an agent with every built-in module costs on a host where little happens.

A server and an agent run as processes; the client deploys all built-in modules and waits until they run. Then, for
60 s, nothing is asked. What is measured: the agent's resident memory at the end, and its CPU time over the 60 s.
`rows_per_s` says how quiet the host really was.

Peer, in the same 60 s: bpftrace with one program that prints every program started (`execs` alone does more).

Target: ≤ 90 MB resident, ≤ 1.5 % of one core.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bpftrace import Bpftrace
from bench.machine import NODE, one_machine
from bench.measure import Target, note, process_cpu_s, process_rss_mb, report
from tests.fleet import Fleet

SETTLE_S, QUIET_S = 15.0, 60.0
SCRIPT = 'tracepoint:sched:sched_process_exec { printf("%llu %d %s\\n", nsecs, pid, comm); }'


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder, one_machine() as fleet:
        names = _deploy_builtins(fleet)
        with Bpftrace(SCRIPT, Path(folder)) as bpftrace:
            time.sleep(SETTLE_S)  # what loading took is not idling
            pids = fleet.agents[NODE].pid, bpftrace.pid
            rows, before_s, began = _rows(fleet), [process_cpu_s(pid) for pid in pids], time.monotonic()
            time.sleep(QUIET_S)
            seconds = time.monotonic() - began
            ours, theirs = (100 * (process_cpu_s(pid) - s) / seconds for pid, s in zip(pids, before_s, strict=True))
            ours_mb, theirs_mb = map(process_rss_mb, pids)
            rows = _rows(fleet) - rows
    report(
        "agent_idle",
        figures={"cpu_percent": ours, "rss_mb": ours_mb, "modules": len(names), "rows_per_s": rows / seconds},
        peer={"name": "bpftrace with one program", "cpu_percent": theirs, "rss_mb": theirs_mb},
        ratio=theirs_mb / ours_mb,
        targets=(Target("rss_mb", at_most=90), Target("cpu_percent", at_most=1.5)),
    )


def _deploy_builtins(fleet: Fleet) -> list[str]:
    names = [module.name for module in fleet.client.list_modules() if module.builtin]
    for name in names:
        fleet.client.deploy_module(name)
    for name in names:
        fleet.wait_running(name, NODE)
    note(f"{len(names)} modules run: {', '.join(names)}")
    return names


def _rows(fleet: Fleet) -> int:
    """What the agent's instances have made so far."""
    return sum(instance.stats.rows for instance in fleet.client.list_instances() if instance.stats is not None)
