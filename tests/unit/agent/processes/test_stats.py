"""What trees use: looked at on real processes, and summed by domain and name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.agent.processes.cgroups import Cgroups, TreeUsage
from quarterdeck.agent.processes.stats import Measured, Stats, together
from quarterdeck.model.processes import ProcessStats

NO_CGROUPS = Cgroups({}, reason="the test has none")

#: a parent and its child; says "ready" when both run, ends when its input does
FAMILY = """
import subprocess, sys
with subprocess.Popen([sys.executable, "-Sc", "import sys; print('ready', flush=True); sys.stdin.read()"]):
    sys.stdin.read()
"""
#: uses 0.3 s of CPU for each line it reads, then says so
BURNER = """
import sys, time
for line in sys.stdin:
    until = time.process_time() + 0.3
    while time.process_time() < until: pass
    print("ready", flush=True)
"""


class Counted:
    """A kernel that counts what the test says."""

    def __init__(self, usage: TreeUsage, pids: tuple[int, ...]) -> None:
        self.now, self.tree = usage, pids

    def usage(self, process_id: str) -> TreeUsage:
        assert process_id
        return self.now

    def pids(self, process_id: str) -> tuple[int, ...]:
        assert process_id
        return self.tree


def begun(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-Sc", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def said_ready(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline().strip() == b"ready"


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    with begun(FAMILY) as process:
        assert said_ready(process)
        yield process
        process.communicate()


def test_a_tree_is_looked_at_whole(family: subprocess.Popen[bytes]) -> None:
    (found,) = Stats(NO_CGROUPS).look([Measured(id="a", pid=family.pid, domain="d", name="n")], now=1.0)
    assert (found.id, found.domain, found.name) == ("a", "d", "n")
    assert (found.processes, found.threads) == (2, 2)
    assert found.vms > found.rss > 1 << 20
    assert found.descriptors >= 6
    assert (found.cpu, found.memory) == (0.0, None)


def test_processes_that_asked_to_be_measured_with_it_are_counted_once(family: subprocess.Popen[bytes]) -> None:
    other = os.getpid()
    one = Measured(id="a", pid=family.pid, also=(family.pid, other))
    (found,) = Stats(NO_CGROUPS).look([one], now=1.0)
    assert found.processes == 3


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = begun("")
    process.communicate()
    (found,) = Stats(NO_CGROUPS).look([Measured(id="a", pid=process.pid)], now=1.0)
    assert (found.processes, found.rss, found.cpu_s) == (0, 0, 0.0)


def test_cpu_is_what_was_used_since_the_look_before() -> None:
    with begun(BURNER) as process:
        assert process.stdin is not None
        stats, one = Stats(NO_CGROUPS), Measured(id="a", pid=process.pid)
        (first,) = stats.look([one], now=100.0)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert said_ready(process)
        (second,) = stats.look([one], now=110.0)
        process.communicate()
    assert first.cpu == 0.0
    assert second.cpu_s - first.cpu_s >= 0.25  # the kernel counts in ticks
    assert second.cpu == pytest.approx((second.cpu_s - first.cpu_s) * 10)


def test_the_kernels_counters_come_first() -> None:
    counters = Counted(TreeUsage(cpu_s=5.0, memory_bytes=4096, read_bytes=1 << 60, written_bytes=1 << 60), ())
    stats, one = Stats(counters), Measured(id="a", pid=os.getpid())
    stats.look([one], now=0.0)
    counters.now = TreeUsage(cpu_s=7.0, memory_bytes=8192, read_bytes=1 << 61, written_bytes=1 << 60)
    (found,) = stats.look([one], now=4.0)
    assert (found.cpu, found.cpu_s, found.memory, found.processes) == (50.0, 7.0, 8192, 0)
    assert (found.read_bytes, found.written_bytes) == (1 << 61, 1 << 60)


def test_cpu_is_never_negative_when_a_part_of_the_tree_ends() -> None:
    counters = Counted(TreeUsage(cpu_s=5.0), ())
    stats, one = Stats(counters), Measured(id="a", pid=os.getpid())
    stats.look([one], now=0.0)
    counters.now = TreeUsage(cpu_s=1.0)
    assert stats.look([one], now=4.0)[0].cpu == 0.0
    assert stats.look([one], now=4.0)[0].cpu == 0.0  # no time passed


def test_a_process_is_due_at_once_then_after_its_interval_and_anew_when_forgotten() -> None:
    stats = Stats(Counted(TreeUsage(), ()))
    often, seldom = Measured(id="often", pid=1, stats_interval=5.0), Measured(id="seldom", pid=1)
    both = [often, seldom]
    assert stats.due(both, now=0.0) == both
    assert stats.due(both, now=0.0) == both  # asking is not looking
    stats.look(both, now=0.0)
    assert stats.due(both, now=4.9) == []
    assert stats.due(both, now=5.0) == [often]
    assert stats.due(both, now=29.9) == [often]
    assert stats.due(both, now=30.0) == both
    stats.forget("seldom")
    stats.forget("seldom")
    stats.forget("nobody")
    assert stats.due(both, now=1.0) == [seldom]


def test_together_is_the_sum() -> None:
    one = ProcessStats(
        id="1", domain="d", name="n", processes=1, threads=2, descriptors=3, cpu=4.5, cpu_s=5.5, rss=6, vms=7, swap=8,
        memory=9, read_bytes=10, written_bytes=11,
    )  # fmt: skip
    two = ProcessStats(
        id="2", domain="d", name="n", processes=10, threads=20, descriptors=30, cpu=40.0, cpu_s=50.0, rss=60, vms=70,
        swap=80, memory=None, read_bytes=100, written_bytes=110,
    )  # fmt: skip
    assert together([one, two]) == ProcessStats(
        id="1", domain="d", name="n", processes=11, threads=22, descriptors=33, cpu=44.5, cpu_s=55.5, rss=66, vms=77,
        swap=88, memory=9, read_bytes=110, written_bytes=121,
    )  # fmt: skip
    assert together([two]) == two


def test_descriptors_are_those_of_proc(family: subprocess.Popen[bytes]) -> None:
    counters = Counted(TreeUsage(), (family.pid,))
    (found,) = Stats(counters).look([Measured(id="a", pid=family.pid)], now=0.0)
    proc = Path(f"/proc/{family.pid}")
    if proc.exists():
        assert found.descriptors == len(list((proc / "fd").iterdir()))
    assert found.processes == 1
