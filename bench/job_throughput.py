"""Jobs a second with 64 in flight on four agents: processes, and commands that the agents answer themselves.

A server and four agents run as processes. 16 clients (the Python client, in this process) each ask all four nodes for a
command, wait for every result in the same call, and ask again. Every job is on disk four times over: at the server when
it is asked and when its result is stored, at the agent when it is taken and when it is done. `cpu_ms_per_job` is what
the server and the agents together used; clients not counted.

Peer, in the same run on the same machine: Salt, a master and four minions, 16 clients with a command for all four.

Target: ≥ 400 process jobs/s (`true`), ≥ 1,500 built-in jobs/s (`ping`).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import Target, note, process_cpu_s, report
from bench.salt import REQUIREMENT, salt
from quarterdeck.client import AsyncClient
from quarterdeck.model.jobs import CreateCommand, JobState
from tests.fleet import Fleet

AGENTS, CLIENTS = 4, 16
WARM_S, ROUND_S, PEER_S = 2.0, 10.0, 15.0


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        for number in range(AGENTS):
            fleet.join(f"bench-{number}")
        processes, process_ms = asyncio.run(_rate(fleet, CreateCommand(cmd="execute", args={"cmd": "true"})))
        builtins, builtin_ms = asyncio.run(_rate(fleet, CreateCommand(cmd="ping")))
    with salt(AGENTS) as peer:
        theirs = peer.ask("many", "cmd.run", CLIENTS, PEER_S)["jobs_per_s"] if peer else 0.0
        ping = peer.ask("many", "test.ping", CLIENTS, PEER_S)["jobs_per_s"] if peer else 0.0
    report(
        "job_throughput",
        figures={
            "process_jobs_per_s": processes,
            "builtin_jobs_per_s": builtins,
            "cpu_ms_per_process_job": process_ms,
            "cpu_ms_per_builtin_job": builtin_ms,
        },
        peer={"name": REQUIREMENT, "process_jobs_per_s": theirs, "builtin_jobs_per_s": ping}
        if theirs
        else {"name": f"{REQUIREMENT}: not installable here"},
        ratio=processes / theirs if theirs else None,
        targets=(Target("process_jobs_per_s", at_least=400), Target("builtin_jobs_per_s", at_least=1500)),
    )


async def _rate(fleet: Fleet, request: CreateCommand) -> tuple[float, float]:
    """Return the results per second, and the CPU milliseconds of server and agents for each."""
    pids = fleet.server.pid, *(agent.pid for agent in fleet.agents.values())
    results = 0

    async def work(client: AsyncClient) -> None:
        nonlocal results
        while True:
            for job in (await client.commands.create(request, wait_s=60)).jobs:
                if job.state is not JobState.OK:
                    raise RuntimeError(f"{request.cmd} came to {job.state}: {job.reason}")
                results += 1

    clients = [AsyncClient(fleet.client.endpoint) for _ in range(CLIENTS)]
    working = [asyncio.create_task(work(client)) for client in clients]
    await asyncio.wait(working, timeout=WARM_S, return_when=asyncio.FIRST_EXCEPTION)
    before, before_s, began = results, process_cpu_s(*pids), time.monotonic()
    await asyncio.wait(working, timeout=ROUND_S, return_when=asyncio.FIRST_EXCEPTION)
    rate, used_s = (results - before) / (time.monotonic() - began), process_cpu_s(*pids) - before_s
    for task in working:
        task.cancel()
    for ended in await asyncio.gather(*working, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    for client in clients:
        await client.close()
    note(f"{request.cmd}: {rate:.0f} jobs/s, {1000 * used_s / max(1, results - before):.2f} ms of CPU each")
    return rate, 1000 * used_s / max(1, results - before)
