"""The time from the call to the result: `true` on one node, and a command that the agent answers itself.

A server and an agent run as processes. The Python client asks and waits for the result in the same call
(`commands.create` with `wait_s`); one after the other, over a connection that stays. On the way: HTTP, a transaction on
the server, the link, the agent's ledger, for `true` a process of the keeper, the ledger, the link, and a transaction.
Each of the four writes is on disk before the next step (decision 0016).

Peer, in the same run on the same machine: Salt, a master and one minion, `LocalClient.cmd` of `cmd.run true` and of
`test.ping`. It is installed from PyPI into the cache folder; where that cannot be, it is left out, and said so.

Target: p50 of `true` ≤ 10 ms, and at least 8 times faster than Salt.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.measure import Target, note, process_cpu_s, report
from bench.salt import REQUIREMENT, salt
from quarterdeck.model.jobs import CreateCommand, JobState
from tests.fleet import Fleet

WARM, ROUNDS, TRIPS = 50, 5, 100
PEER_TRIPS = 30


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        fleet.join("bench")
        process = _trips(fleet, CreateCommand(cmd="execute", args={"cmd": "true"}))
        builtin = _trips(fleet, CreateCommand(cmd="ping"))
    with salt(1) as peer:
        theirs = peer.ask("one", "cmd.run", PEER_TRIPS) if peer else {}
        ping = peer.ask("one", "test.ping", PEER_TRIPS) if peer else {}
    ratio = theirs["p50_ms"] / process["p50_ms"] if theirs else 0.0
    report(
        "job_round_trip",
        figures=process | {f"builtin_{name}": value for name, value in builtin.items()} | {"times_faster": ratio},
        peer={"name": REQUIREMENT, **theirs, "ping_p50_ms": ping["p50_ms"]}
        if theirs
        else {"name": f"{REQUIREMENT}: not installable here"},
        ratio=ratio or None,
        targets=(Target("p50_ms", at_most=10), *((Target("times_faster", at_least=8),) if theirs else ())),
    )


def _trips(fleet: Fleet, request: CreateCommand) -> dict[str, Any]:
    """Return the round with the middle median, and the CPU time of server and agent for each job over all rounds."""
    pids = fleet.server.pid, fleet.agents["bench"].pid
    for _ in range(WARM):
        _trip(fleet, request)
    before_s = [process_cpu_s(pid) for pid in pids]
    rounds = [sorted(_trip(fleet, request) for _ in range(TRIPS)) for _ in range(ROUNDS)]
    server_ms, agent_ms = (
        1000 * (process_cpu_s(pid) - s) / (ROUNDS * TRIPS) for pid, s in zip(pids, before_s, strict=True)
    )
    for times in rounds:
        note(f"{request.cmd}: p50 {statistics.median(times):.1f} ms, p95 {times[int(TRIPS * 0.95)]:.1f} ms")
    middle = sorted(rounds, key=statistics.median)[ROUNDS // 2]
    return {
        "p50_ms": statistics.median(middle),
        "p95_ms": middle[int(TRIPS * 0.95)],
        "fastest_ms": min(times[0] for times in rounds),
        "server_cpu_ms": server_ms,
        "agent_cpu_ms": agent_ms,
    }


def _trip(fleet: Fleet, request: CreateCommand) -> float:
    """Return the milliseconds of one job."""
    began = time.perf_counter()
    (job,) = fleet.client.commands.create(request, wait_s=30).jobs
    took_ms = 1000 * (time.perf_counter() - began)
    if job.state is not JobState.OK:
        raise RuntimeError(f"{request.cmd} came to {job.state}: {job.reason}")
    return took_ms
