"""A storm of system calls, from the kernel to rows in the embedded store, all on this machine.

A server and an agent run as processes, as `qd up` has them; the client deploys a module whose program sends an event
of 64 bytes for each getppid() that one process enters, for 60 seconds. What is measured: rows that a query finds, for
each second from the first call until the last row is stored. Afterwards every event must be a row or counted in
`losses`.

Peer, in the same run: bpftrace on the same tracepoint, printing five of the fields to a file, for 15 seconds of the
same storm; how many lines it wrote a second, and how many events it says it lost.

Target: ≥ 250,000 rows/s, and events = rows + losses, exactly.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.bpftrace import Bpftrace, storm_script
from bench.machine import NODE, number, one_machine
from bench.measure import Target, note, process_cpu_s, process_rss_mb, report, wait_until
from bench.storm import Storm, storm_module
from tests.fleet import Fleet

STORM_S, PEER_S = 60.0, 15.0
RATE = 0  #: calls a second


def main() -> None:
    with Storm() as storm:
        with one_machine() as fleet:
            figures = _ours(fleet, storm)
        peer = _bpftrace(storm)
    report(
        "kernel_to_table",
        figures=figures,
        peer=peer,
        ratio=figures["rows_per_s"] / peer["events_per_s"],
        targets=(Target("rows_per_s", at_least=250_000), Target("unaccounted", at_least=0, at_most=0)),
    )


def _ours(fleet: Fleet, storm: Storm) -> dict[str, Any]:
    fleet.client.modules.create(storm_module())
    fleet.client.modules.deploy("storm", settings=storm.settings)
    fleet.wait_running("storm", NODE)
    agent, server = fleet.agents[NODE].pid, fleet.server.pid
    before_s = process_cpu_s(agent), process_cpu_s(server)
    began = time.monotonic()
    made = storm.blow(STORM_S, rate=RATE)
    note(f"{made.calls:,} events in {made.seconds:.1f} s")

    def accounted() -> bool:
        return _rows(fleet) + _lost(fleet) >= made.calls

    wait_until(accounted, "every event to be a row or a loss", seconds=120, pause_s=0.2)
    seconds = time.monotonic() - began
    rows, lost = _rows(fleet), _lost(fleet)
    note(f"{rows:,} rows and {lost:,} lost in {seconds:.1f} s")
    agent_s, server_s = process_cpu_s(agent) - before_s[0], process_cpu_s(server) - before_s[1]
    return {
        "rows_per_s": rows / seconds,
        "events": made.calls,
        "rows": rows,
        "lost": lost,
        "unaccounted": made.calls - rows - lost,
        "agent_cpu_percent": 100 * agent_s / seconds,
        "server_cpu_percent": 100 * server_s / seconds,
        "agent_rss_mb": process_rss_mb(agent),
        "server_rss_mb": process_rss_mb(server),
    }


def _rows(fleet: Fleet) -> int:
    return number(fleet, "SELECT count() FROM storm")


def _lost(fleet: Fleet) -> int:
    return number(fleet, "SELECT sum(rows) FROM losses WHERE table = 'storm'")


def _bpftrace(storm: Storm) -> dict[str, Any]:
    """Return the lines that bpftrace writes for the same storm, and the events that it reports as lost."""
    with TemporaryDirectory(prefix="qd-bench-") as folder:
        with Bpftrace(storm_script(storm), Path(folder)) as bpftrace:
            before_s = process_cpu_s(bpftrace.pid)
            made = storm.blow(PEER_S, rate=RATE)
            time.sleep(1)
            cpu_s = process_cpu_s(bpftrace.pid) - before_s
        written, lost = bpftrace.output()
    note(f"bpftrace: {made.calls:,} events, {written:,} lines, {lost:,} lost")
    return {
        "name": "bpftrace printing the same tracepoint to a file",
        "events_per_s": written / made.seconds,
        "events": made.calls,
        "lost": lost,
        "unaccounted": made.calls - written - lost,
        "cpu_percent": 100 * cpu_s / made.seconds,
    }
