"""Two busy processes that share a CPU wait for each other; the kernel counts their switches too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quarterdeck.testing.module_run import ModuleRun

MODULE = Path(__file__).parent
TABLE = "run_queue_latency"


@pytest.fixture
def rivals() -> Iterator[tuple[int, int]]:
    """Yield two processes that never sleep, bound to one CPU."""
    with ExitStack() as stack:
        pids: list[int] = []
        for _ in range(2):
            child = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(child.kill)
            os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(0))})
            pids.append(child.pid)
        yield pids[0], pids[1]


def switches(pid: int) -> int:
    """Return how often the process has left a CPU, as the kernel counts it; it has entered one about as often."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", status)))


@pytest.mark.parametrize("without", [(), ("switch_btf",)], ids=["tp_btf", "raw_tp"])
def test_rivals_wait_for_each_other(rivals: tuple[int, int], without: tuple[str, ...]) -> None:
    with ModuleRun(MODULE, interval_s=0.2, without=without) as run:
        rows = [run.wait_for(TABLE, lambda row, pid=pid: row["pid"] == pid) for pid in rivals]
    for row in rows:
        assert sum(row["slots"]) == row["count"] > 0
        assert sum(count << slot for slot, count in enumerate(row["slots"][1:], 1)) <= row["total_us"]
        assert row["comm"].startswith("python")


def test_a_reading_has_what_came_since_the_one_before(rivals: tuple[int, int]) -> None:
    pid = rivals[0]
    before = switches(pid)
    with ModuleRun(MODULE, settings={"only_pid": pid}, interval_s=0.1) as run:
        run.wait_for(TABLE, lambda _: len(run.rows(TABLE)) >= 8)
        run.stop()
        after = switches(pid)
    rows = run.rows(TABLE)
    assert {row["pid"] for row in rows} == {pid}
    assert 8 <= sum(row["count"] for row in rows) <= after - before + 1


def test_one_histogram_for_the_whole_node(rivals: tuple[int, int]) -> None:
    with ModuleRun(MODULE, settings={"per_process": False}, interval_s=0.2) as run:
        row = run.wait_for(TABLE, lambda row: row["count"] > 1)
    assert {row["pid"] for row in run.rows(TABLE)} == {0}
    assert (row["comm"], sum(row["slots"])) == ("", row["count"])
