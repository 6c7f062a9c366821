"""Programs that this process starts, and how they end, compared with the rows of the tables."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.conftest import CompileC
from quarterdeck.testing.module_run import ModuleRun

MODULE = Path(__file__).parent
NOBODY = 65534

THREADS = """
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *spin(void *unused) { for (;;) ; return unused; }
static void *last(void *unused) { usleep(20000); exit(4); return unused; }
int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc > 1) { /* the first thread ends first */
		pthread_create(&thread, 0, last, 0);
		pthread_exit(0);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&thread, 0, spin, 0);
	usleep(1000);
	exit(3);
}
"""


@pytest.fixture(params=[(), ("exec_btf",)], ids=["tp_btf", "raw_tp"])
def run(request: pytest.FixtureRequest) -> Iterator[ModuleRun]:
    """Yield the module, for the children of this process only."""
    with ModuleRun(MODULE, settings={"only_ppid": os.getpid()}, without=request.param) as run:
        yield run


def test_program_is_a_row_with_its_arguments(run: ModuleRun) -> None:
    began_ns = time.time_ns()
    child = subprocess.Popen(["/bin/sh", "-c", "exit 7", "zero", "one two"])
    child.wait()
    row = run.wait_for("execs", lambda row: row["pid"] == child.pid)
    second_ns = 1_000_000_000
    assert began_ns - second_ns < row.pop("time") < time.time_ns() + second_ns
    assert row.pop("cgroup") > 0
    assert row == {
        "pid": child.pid,
        "ppid": os.getpid(),
        "uid": 0,
        "comm": "sh",
        "parent_comm": Path("/proc/self/comm").read_text().strip(),
        "filename": "/bin/sh",
        "args": "/bin/sh -c exit 7 zero one two",
    }


def test_what_is_too_long_ends_with_an_ellipsis(run: ModuleRun, tmp_path: Path) -> None:
    long = tmp_path
    while len(str(long)) < 300:
        long /= "x" * 60
    long.mkdir(parents=True)
    program = long / "true"
    program.symlink_to("/bin/true")
    child = subprocess.Popen([str(program), "y" * 2000], executable=str(program))
    child.wait()
    row = run.wait_for("execs", lambda row: row["pid"] == child.pid)
    assert row["filename"] == str(program)[:252] + "…"
    assert row["args"] == f"{program} {'y' * 2000}"[:1021] + "…"


def test_what_just_fits_has_none(run: ModuleRun, tmp_path: Path) -> None:
    exact = tmp_path / ("x" * 100)
    exact.mkdir()
    exact /= "z" * (255 - len(str(exact)) - 1)
    exact.symlink_to("/bin/true")
    child = subprocess.Popen([str(exact)], executable=str(exact))
    child.wait()
    assert run.wait_for("execs", lambda row: row["pid"] == child.pid)["filename"] == str(exact)


def test_end_is_a_row_with_its_code(run: ModuleRun) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
    child.wait()
    row = run.wait_for("exits", lambda row: row["pid"] == child.pid)
    assert row["duration"] > 0
    expected = {"ppid": os.getpid(), "uid": 0, "comm": "sh", "exit_code": 7, "signal": 0, "core_dumped": False}
    assert {name: row[name] for name in expected} == expected


def test_killed_process_has_its_signal(run: ModuleRun) -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    run.wait_for("execs", lambda row: row["pid"] == child.pid)
    child.kill()
    child.wait()
    row = run.wait_for("exits", lambda row: row["pid"] == child.pid)
    assert (row["exit_code"], row["signal"], row["comm"]) == (0, signal.SIGKILL, "sleep")


def test_only_children_are_rows(run: ModuleRun) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "/bin/true; /bin/true; exit 0"])
    child.wait()
    run.stop()
    assert [row["pid"] for row in run.rows("execs")] == [child.pid]
    assert [row["pid"] for row in run.rows("exits")] == [child.pid]


def test_long_arguments_are_cut(run: ModuleRun) -> None:
    child = subprocess.Popen(["/bin/true", "x" * 600, "y" * 600])
    child.wait()
    row = run.wait_for("execs", lambda row: row["pid"] == child.pid)
    assert row["args"] == f"/bin/true {'x' * 600} {'y' * 600}"[:1021] + "…"


def test_process_of_many_threads_ends_once(run: ModuleRun, compile_c: CompileC) -> None:
    program = compile_c("threads", THREADS)
    children = [subprocess.Popen([program]) for _ in range(10)]
    assert [child.wait() for child in children] == [3] * 10
    run.stop()
    ends = sorted((row["pid"], row["exit_code"]) for row in run.rows("exits", lambda row: row["comm"] == "threads"))
    assert ends == sorted((child.pid, 3) for child in children)


def test_process_whose_first_thread_ended_ends_with_the_last(run: ModuleRun, compile_c: CompileC) -> None:
    child = subprocess.Popen([compile_c("threads", THREADS), "last"])
    assert child.wait() == 4
    run.stop()
    ends = run.rows("exits", lambda row: row["pid"] == child.pid)
    assert [(row["exit_code"], row["comm"]) for row in ends] == [(4, "threads")]


def test_only_one_user() -> None:
    with ModuleRun(MODULE, settings={"only_uid": NOBODY}) as run:
        subprocess.run(["/bin/true"], check=True)
        child = subprocess.Popen(["/bin/true"], user=NOBODY)
        child.wait()
        assert run.wait_for("execs", lambda row: row["pid"] == child.pid)["uid"] == NOBODY
        run.wait_for("exits", lambda row: row["pid"] == child.pid)
    assert {row["uid"] for table in ("execs", "exits") for row in run.rows(table)} == {NOBODY}
