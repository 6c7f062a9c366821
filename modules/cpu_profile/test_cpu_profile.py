"""Programs that do one thing only, compared with the sampled stacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.conftest import CompileC
from quarterdeck.testing.module_run import ModuleRun, Row
from tests.support import require

MODULE = Path(__file__).parent

BUSY = """
#include <fcntl.h>
#include <unistd.h>
static volatile unsigned long sink;
__attribute__((noinline)) void qd_innermost(void)
{
	for (int i = 0; i < 100000; i++)
		sink += i;
}
__attribute__((noinline)) void qd_outer(void)
{
	for (;;) {
		qd_innermost();
		sink++;
	}
}
int main(int argc, char **argv)
{
	static char zeros[1 << 20];
	int fd = open("/dev/zero", O_RDONLY);
	while (argc > 1)
		sink += read(fd, zeros, sizeof(zeros));
	qd_outer();
}
"""
FRAME_POINTERS = ("-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer", "-fno-optimize-sibling-calls")


@contextmanager
def running(*command: str | Path) -> Iterator[int]:
    """Yield the process id of a program that runs inside the block."""
    with subprocess.Popen(command) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def of(pid: int, *, user: str = "", kernel: str = "") -> Callable[[Row], bool]:
    """Return the rows of a process with such innermost frames."""

    def wanted(row: Row) -> bool:
        frames = zip((user, kernel), (row["user_stack"], row["kernel_stack"]), strict=True)
        return row["pid"] == pid and all(not name or (stack and re.search(name, stack[0])) for name, stack in frames)

    return wanted


def test_hot_function_is_found(compile_c: CompileC) -> None:
    with running(compile_c("busy", BUSY, *FRAME_POINTERS)) as pid, ModuleRun(MODULE, interval_s=0.3) as run:
        hot = of(pid, user="^qd_innermost")  # a sample may also be taken in the tick that interrupts it
        row = run.wait_for("cpu_profile", lambda row: hot(row) and not row["kernel_stack"])
        assert row["comm"] == "busy"
        assert [frame.split("+")[0] for frame in row["user_stack"][:3]] == ["qd_innermost", "qd_outer", "main"]
        assert row["samples"] > 0


def test_function_without_a_symbol_keeps_build_id_and_offset(compile_c: CompileC) -> None:
    program = compile_c(
        "stripped", BUSY, *FRAME_POINTERS, "-s", "-Wl,--build-id=0xc0ffee0123456789abcdef0123456789abcdef01"
    )
    with running(program) as pid, ModuleRun(MODULE, settings={"only_pid": pid}, interval_s=0.3) as run:
        pattern = r"^stripped\[c0ffee0123456789abcdef0123456789abcdef01\]\+0x[0-9a-f]+$"
        run.wait_for("cpu_profile", of(pid, user=pattern))


def test_time_in_the_kernel_has_a_stack_of_both(compile_c: CompileC) -> None:
    symbols = Path("/proc/kallsyms").read_text(errors="replace").partition("\n")[0]
    require(not symbols.startswith("0000000000000000"), "this kernel hides its addresses")
    program = compile_c("reading", BUSY, *FRAME_POINTERS)
    with running(program, "read") as pid, ModuleRun(MODULE, settings={"only_pid": pid}, interval_s=0.3) as run:
        row = run.wait_for("cpu_profile", of(pid, kernel="clear_user|read_zero|rep_stos|iov_iter_zero"))
        assert any("vfs_read" in frame for frame in row["kernel_stack"])
        assert row["user_stack"]


def test_only_one_process(compile_c: CompileC) -> None:
    program = compile_c("busy", BUSY, *FRAME_POINTERS)
    with running(program) as one, running(program) as other:
        with ModuleRun(MODULE, settings={"only_pid": one}, interval_s=0.3) as run:
            run.wait_for("cpu_profile", of(one))
        assert {row["pid"] for row in run.rows("cpu_profile")} == {one} != {other}


def test_readings_do_not_repeat_samples(compile_c: CompileC) -> None:
    """A process on one CPU cannot be sampled more often than its CPU time allows."""
    program = compile_c("busy", BUSY, *FRAME_POINTERS)
    with running(program) as pid:
        os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})
        with ModuleRun(MODULE, settings={"only_pid": pid}, interval_s=0.1) as run:
            started = cpu_ticks(pid)
            run.wait_for("cpu_profile", lambda _: len(run.rows("cpu_profile")) >= 10)
        used_s = (cpu_ticks(pid) - started) / os.sysconf("SC_CLK_TCK")
    assert 0 < sum(row["samples"] for row in run.rows("cpu_profile")) <= 49 * used_s * 1.5 + 10


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_idle_cpus_are_left_out() -> None:
    with running(sys.executable, "-c", "while True: pass") as pid, ModuleRun(MODULE, interval_s=0.3) as run:
        run.wait_for("cpu_profile", of(pid))
    assert 0 not in {row["pid"] for row in run.rows("cpu_profile")}
