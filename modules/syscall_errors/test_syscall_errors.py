"""Calls that a program makes fail a given number of times, compared with the counts of the table."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.conftest import CompileC
from quarterdeck.testing.module_run import ModuleRun

MODULE = Path(__file__).parent

FAILING = """
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static void *close_nothing(void *unused)
{
	for (int i = 0; i < 2500; i++)
		close(-1);
	return unused;
}
static void work(void)
{
	pthread_t threads[4];
	for (int i = 0; i < 137; i++)
		openat(AT_FDCWD, "/nonexistent", O_RDONLY);
	for (int i = 0; i < 29; i++)
		openat(AT_FDCWD, "/", O_WRONLY);
	for (int i = 0; i < 11; i++)
		kill(0x3fffffff, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, close_nothing, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], 0);
	getppid(); /* one that succeeds */
}
int main(void)
{
	while (getchar() != EOF)
		work();
	return 0;
}
"""
ONCE = {
    ("openat", "ENOENT"): 137,
    ("openat", "EISDIR"): 29,
    ("kill", "ESRCH"): 11,
    ("close", "EBADF"): 10_000,
}


@pytest.fixture
def child(compile_c: CompileC) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that makes calls fail for each byte that it reads."""
    with subprocess.Popen([compile_c("failing", FAILING)], stdin=subprocess.PIPE, bufsize=0) as child:
        yield child


def counted(run: ModuleRun, pid: int) -> dict[tuple[str, str], int]:
    """Return the failures by call and error, over all reads."""
    total: Counter[tuple[str, str]] = Counter()
    for row in run.rows("syscall_errors", lambda row: row["pid"] == pid):
        total[row["syscall"], row["error"]] += row["failures"]
    return dict(total)


def tell(child: subprocess.Popen[bytes], times: int = 1) -> None:
    assert child.stdin is not None
    child.stdin.write(b"!" * times)


@pytest.mark.parametrize("without", [(), ("return_btf",)], ids=["tp_btf", "raw_tp"])
def test_every_failure_is_counted(child: subprocess.Popen[bytes], without: tuple[str, ...]) -> None:
    with ModuleRun(MODULE, without=without) as run:
        tell(child)
        child.communicate()
    assert counted(run, child.pid) == ONCE
    assert {row["comm"] for row in run.rows("syscall_errors", lambda row: row["pid"] == child.pid)} == {"failing"}
    assert run.losses == ()


def test_a_reading_has_what_came_since_the_one_before(child: subprocess.Popen[bytes]) -> None:
    with ModuleRun(MODULE, settings={"only_pid": child.pid}, interval_s=0.1) as run:
        tell(child)
        run.wait_for("syscall_errors", lambda row: row["syscall"] == "close")
        tell(child, 2)
        child.communicate()
    assert counted(run, child.pid) == {failure: 3 * times for failure, times in ONCE.items()}
    assert len(run.rows("syscall_errors", lambda row: row["error"] == "ENOENT")) > 1


def test_only_one_error(child: subprocess.Popen[bytes]) -> None:
    with ModuleRun(MODULE, settings={"only_error": 3, "only_pid": child.pid}) as run:
        tell(child)
        child.communicate()
    assert counted(run, child.pid) == {("kill", "ESRCH"): 11}


def test_only_one_process(child: subprocess.Popen[bytes]) -> None:
    with ModuleRun(MODULE, settings={"only_pid": child.pid}) as run:
        assert not Path("/nonexistent").exists()
        tell(child)
        child.communicate()
    assert {row["pid"] for row in run.rows("syscall_errors")} == {child.pid}


def test_calls_of_32_bit_programs_are_not_taken_for_others(compat_child: subprocess.Popen[bytes]) -> None:
    with ModuleRun(MODULE, settings={"only_pid": compat_child.pid}) as run:
        compat_child.communicate(b"!")
    assert compat_child.returncode == 0
    assert run.rows("syscall_errors") == []
