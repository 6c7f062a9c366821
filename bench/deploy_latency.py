"""The time from the request to deploy a module to its first row in a query's answer.

A server and an agent run as processes. A process makes 1,000 system calls a second; round after round, the client
deploys the module that sees them (compiled before, when it was created), asks for the first row until there is one, and
undeploys it. `load_ms` is what the agent says it took to load a prebuilt module into the kernel, attach it and open its
buffers: of the built-in modules, the median and the slowest.

Peer, in the same run: bpftrace on the same tracepoint, from its start until the first line it prints.

Target: p50 ≤ 1.5 s; a prebuilt module loads in ≤ 50 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import time

from bench.bpftrace import command, storm_script
from bench.machine import NODE, number, one_machine
from bench.measure import Target, note, report, wait_until
from bench.storm import Storm, storm_module
from quarterdeck.model.modules import InstanceState
from tests.fleet import Fleet

ROUNDS, PEER_ROUNDS = 15, 5
RATE = 1_000


def main() -> None:
    with Storm() as storm, one_machine() as fleet:
        fleet.client.modules.create(storm_module())
        storm.begin(3600, rate=RATE)
        latencies_s = [_deploy(fleet, storm) for _ in range(ROUNDS)]
        loads_ms = _load_builtins(fleet)
        peer_s = [_bpftrace(storm) for _ in range(PEER_ROUNDS)]
    p50_s = statistics.median(latencies_s)
    report(
        "deploy_latency",
        figures={
            "p50_s": p50_s,
            "worst_s": max(latencies_s),
            "load_ms": statistics.median(loads_ms.values()),
            "slowest_load_ms": max(loads_ms.values()),
            "slowest_module": max(loads_ms, key=lambda name: loads_ms[name]),
        },
        peer={"name": "bpftrace, from its start to its first line", "p50_s": statistics.median(peer_s)},
        ratio=statistics.median(peer_s) / p50_s,
        targets=(Target("p50_s", at_most=1.5), Target("load_ms", at_most=50)),
    )


def _deploy(fleet: Fleet, storm: Storm) -> float:
    """Return the seconds from the request to the first row of this deployment."""
    since_ns = time.time_ns()
    began = time.perf_counter()
    fleet.client.modules.deploy("storm", settings=storm.settings)
    first = f"SELECT count() FROM storm WHERE time >= fromUnixTimestamp64Nano({since_ns})"
    wait_until(lambda: number(fleet, first), "the first row", pause_s=0.005)
    seconds = time.perf_counter() - began
    fleet.client.modules.undeploy("storm")
    wait_until(lambda: not fleet.instances("storm"), "the instance to end")
    note(f"first row after {seconds:.2f} s")
    return seconds


def _load_builtins(fleet: Fleet) -> dict[str, float]:
    """Return the load time of each built-in module."""
    names = [module.name for module in fleet.client.modules.list() if module.builtin]
    for name in names:
        fleet.client.modules.deploy(name)
        fleet.wait_running(name, NODE)
    statuses = {name: fleet.instances(name)[NODE].status for name in names}
    note(", ".join(f"{name} {status.load_ms:.0f} ms" for name, status in statuses.items()))
    return {name: status.load_ms for name, status in statuses.items() if status.state is InstanceState.SUCCEEDED}


def _bpftrace(storm: Storm) -> float:
    """Return the seconds until bpftrace has printed a line of the storm."""
    began = time.perf_counter()
    with subprocess.Popen(
        command("-B", "line", "-e", storm_script(storm)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        while not (line := process.stdout.readline())[:1].isdigit():
            if not line:
                raise RuntimeError("bpftrace ended without a line")
        seconds = time.perf_counter() - began
        process.kill()
    note(f"bpftrace: first line after {seconds:.2f} s")
    return seconds
