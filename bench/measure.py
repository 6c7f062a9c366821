"""Helpers of every experiment: CPU affinity, the CPU time and memory of processes and threads, and the line of JSON.

Owns the shape of that line. A target that is missed is said in it and is no error: an experiment fails only when it
cannot measure.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

#: With two CPUs, what makes events has one and what takes them the other.
CONSUMER_CPU, PRODUCER_CPU = 0, (os.cpu_count() or 1) - 1
TICKS_S = os.sysconf("SC_CLK_TCK")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a figure: `at_least` or `at_most`."""

    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Return whether `value` reaches the target."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return " and ".join(
            f"{sign} {limit:,g}" for sign, limit in (("≥", self.at_least), ("≤", self.at_most)) if limit is not None
        )


def report(
    experiment: str,
    *,
    figures: Mapping[str, Any],
    peer: Mapping[str, Any],
    ratio: float | None,
    targets: Sequence[Target],
) -> None:
    """Print the experiment's line. `ratio`: how many times better than the peer the first figure of both is."""
    missed = [target.figure for target in targets if not target.met(figures[target.figure])]
    line = {
        "experiment": experiment,
        "figures": _rounded(figures),
        "peer": _rounded(peer),
        "ratio": None if ratio is None else round(ratio, 1),
        "target": {target.figure: str(target) for target in targets},
        "missed": missed,
        "pass": not missed,
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """Print progress to standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def pin(cpu: int, pid: int = 0) -> None:
    """Keep a process (default: this one, and the threads it starts from now on) on one CPU."""
    os.sched_setaffinity(pid, {cpu})


def thread_cpu_ns(*names: str) -> int:
    """Return the CPU time so far of this process's threads of these names."""
    threads = [thread for thread in threading.enumerate() if thread.name in names and thread.ident]
    return sum(time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident or 0)) for thread in threads)


def process_cpu_s(*pids: int) -> float:
    """Return the CPU time so far of processes, without their children; to a hundredth of a second."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])  # utime, stime
    return total / TICKS_S


def process_rss_mb(pid: int) -> float:
    """Return the resident memory of a process, shared pages included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def wait_until(done: Callable[[], T], what: str, *, seconds: float = 60.0, pause_s: float = 0.02) -> T:
    """Return the first truthy result of `done`; raise a TimeoutError that names `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(pause_s)
    return found


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest of the values that at least this part of them does not exceed."""
    return sorted(values)[max(1, math.ceil(part * len(values))) - 1]


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Round to four digits; further ones are noise on such machines."""
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in figures.items()}
