"""A program that requests more memory than its cgroup allows, and is killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.testing.module_run import ModuleFailed, ModuleRun
from tests.support import require

MODULE = Path(__file__).parent
LIMIT_BYTES = 24 << 20
WANTED_BYTES = 256 << 20
NOBODY = 65534

#: joins the cgroup, makes itself the preferred victim, drops its privileges, and allocates memory until it is killed
HOG = f"""
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
open("/proc/self/oom_score_adj", "w").write("321")
os.setuid({NOBODY})
hoard = bytearray({WANTED_BYTES})
for page in range(0, len(hoard), 4096):
    hoard[page] = 1
"""


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """Yield a cgroup with little memory and no swap."""
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    is_v2 = (v2 / "cgroup.controllers").exists()
    if is_v2:
        require("memory" in (v2 / "cgroup.subtree_control").read_text().split(), "cgroups cannot limit memory here")
        limits = {"memory.max": LIMIT_BYTES, "memory.swap.max": 0}
    else:
        require((v1 / "memory.limit_in_bytes").exists(), "no cgroup hierarchy of this machine limits memory")
        limits = {"memory.limit_in_bytes": LIMIT_BYTES, "memory.memsw.limit_in_bytes": LIMIT_BYTES}
    group = (v2 if is_v2 else v1) / f"qd-test-{os.getpid()}"
    group.mkdir()
    try:
        for name, value in limits.items():
            if (group / name).exists():  # a kernel without swap has no limit for it
                (group / name).write_text(str(value))
        yield group
    finally:
        group.rmdir()


def test_victim_is_a_row(small_cgroup: Path) -> None:
    with ModuleRun(MODULE) as run:
        hog = subprocess.Popen([sys.executable, "-c", HOG, small_cgroup / "cgroup.procs"])
        assert hog.wait() == -9
        row = run.wait_for("oom_kills", lambda row: row["pid"] == hog.pid)
    assert (row["uid"], row["score_adj"], row["trigger_pid"]) == (NOBODY, 321, hog.pid)
    assert row["comm"] == row["trigger_comm"] == Path(sys.executable).name[:15]
    assert row["virtual"] > WANTED_BYTES
    assert LIMIT_BYTES // 2 < row["resident"] < LIMIT_BYTES + (16 << 20)


@pytest.mark.parametrize("without", [("mark_victim",), ("mark_victim", "oom_fentry")], ids=["fentry", "kprobe"])
def test_older_kernels_have_other_ways_or_say_why_not(small_cgroup: Path, without: tuple[str, ...]) -> None:
    reason = ""
    try:
        with ModuleRun(MODULE, without=without) as run:
            hog = subprocess.Popen([sys.executable, "-c", HOG, small_cgroup / "cgroup.procs"])
            assert hog.wait() == -9
            row = run.wait_for("oom_kills", lambda row: row["pid"] == hog.pid)
            assert (row["uid"], row["score_adj"]) == (NOBODY, 321)
    except ModuleFailed as failed:
        reason = failed.status.reason
    assert not reason or re.match("None of the alternatives works on this kernel: .*oom_kprobe: ", reason)
