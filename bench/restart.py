"""A hundred supervised processes are killed at once: the time until all run again.

A server and an agent run as processes, with 100 services that sleep. All are killed (-9); measured is the time until
as many others run, looked at through /proc. The agent starts what ended after a pause, of at most 0.1 s after the first
end of a process and twice as long after each further one, so only the first kill after a good run is measured: each
round begins with new services.

Peer, in the same run: supervisord with 100 programs, killed in the same way.

Target: < 0.5 s after the backoff's first step (0.1 s).
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import Target, note, report
from bench.services import PEER, SECONDS_OURS, SECONDS_PEER, SETTLE_S, apply, kill_all, remove, supervisord
from quarterdeck.agent.processes.supervision import BACKOFF_FIRST_S
from tests.fleet import Fleet

ROUNDS = 5


def main() -> None:
    ours: list[float] = []
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        fleet.join("bench")
        for _ in range(ROUNDS):
            apply(fleet)
            ours.append(kill_all(SECONDS_OURS))
            note(f"all run again after {ours[-1]:.2f} s")
            remove(fleet)
    with supervisord() as peer:
        theirs = [_kill_theirs() for _ in range(ROUNDS)] if peer else []
    again_s = statistics.median(ours)
    report(
        "restart",
        figures={
            "all_again_s": again_s,
            "after_first_step_s": again_s - BACKOFF_FIRST_S,
            "slowest_s": max(ours),
        },
        peer={"name": PEER, "all_again_s": statistics.median(theirs)}
        if theirs
        else {"name": f"{PEER}: not installable here"},
        ratio=statistics.median(theirs) / again_s if theirs else None,
        targets=(Target("after_first_step_s", at_most=0.5),),
    )


def _kill_theirs() -> float:
    seconds = kill_all(SECONDS_PEER)
    note(f"supervisord: after {seconds:.2f} s")
    time.sleep(SETTLE_S)
    return seconds
