"""The kit for testing modules, with a module of a few lines on the real kernel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.modules import InstanceState
from quarterdeck.testing.module_run import ModuleFailed, ModuleRun
from tests.support import require

MANIFEST = """
name = "calls"
alternatives = [[["typed"], ["raw"]]]

[settings.only_pid]

[[table]]
name = "calls"
from = "counts"
interval = "1h"

[table.columns.key]
name = "pid"

[table.columns.value]
name = "calls"
counter = true
"""
PROGRAM = """
#include <quarterdeck/kernel.h>
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} counts SEC(".maps");
const volatile u32 only_pid = 0;
static __always_inline int count(void *regs)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	u64 one = 1, *calls;
	if (pid != only_pid || syscall_number(regs) != GETPPID)
		return 0;
	calls = bpf_map_lookup_elem(&counts, &pid);
	if (calls)
		__sync_fetch_and_add(calls, 1);
	else
		bpf_map_update_elem(&counts, &pid, &one, BPF_ANY);
	return 0;
}
SEC("tp_btf/sys_enter") int BPF_PROG(typed, void *regs, long id) { return count(regs); }
SEC("raw_tp/sys_enter") int BPF_PROG(raw, void *regs, long id) { return count(regs); }
char LICENSE[] SEC("license") = "GPL";
"""
MODULE = {
    "module.toml": MANIFEST.encode(),
    "calls.bpf.c": PROGRAM.replace("GETPPID", {"x86_64": "110"}.get(os.uname().machine, "173")).encode(),
}


@pytest.fixture(autouse=True)
def machine() -> None:
    require(os.geteuid() == 0, "loading eBPF needs root")
    require(Path("/sys/kernel/btf/vmlinux").exists(), "this kernel has no BTF")
    require(shutil.which("bpftool"), "bpftool is not installed")
    require(Path("/usr/include/bpf/bpf_helpers.h").exists(), "the headers of libbpf (libbpf-dev) are not installed")


def call(times: int) -> None:
    for _ in range(times):
        os.getppid()


def test_leaving_reads_what_is_left() -> None:
    with ModuleRun(MODULE, settings={"only_pid": os.getpid()}) as run:
        call(123)
        assert run.rows("calls") == []
        assert run.status.attached == ("typed: tp_btf sys_enter",)
        assert run.stats.runs > 123
    (row,) = run.rows("calls")
    assert (row["pid"], row["calls"]) == (os.getpid(), 123)
    assert run.losses == ()
    assert run.stats.runs > 123


def test_interval_and_alternative_can_be_chosen() -> None:
    settings = {"only_pid": os.getpid()}
    with ModuleRun(MODULE, settings=settings, interval_s=0.05, without=("typed",)) as run:
        assert run.status.attached == ("raw: raw tracepoint sys_enter",)
        call(10)
        assert run.wait_for("calls", lambda row: row["pid"] == os.getpid())["calls"] <= 10
    assert sum(row["calls"] for row in run.rows("calls")) == 10


def test_row_that_does_not_come_is_a_failure_that_shows_those_that_did() -> None:
    with ModuleRun(MODULE, settings={"only_pid": os.getpid()}, interval_s=0.05) as run:
        call(10)
        run.wait_for("calls", lambda row: row["calls"] > 0)
        with pytest.raises(AssertionError, match=r"none of \d+ rows of calls is the one(.|\n)*'calls': "):
            run.wait_for("calls", lambda row: row["calls"] < 0, timeout_s=0.1)


def test_module_that_no_kernel_takes_is_a_failure_with_the_reason() -> None:
    broken = {name: content.replace(b"/sys_enter", b"/no_such_place") for name, content in MODULE.items()}
    with pytest.raises(ModuleFailed) as caught, ModuleRun(broken):
        pass
    assert caught.value.status.state is InstanceState.FAILED
    assert "no_such_place" in str(caught.value)


def test_program_that_two_alternatives_share_is_not_called_dropped() -> None:
    shared = MODULE["module.toml"].replace(b'[["typed"], ["raw"]]', b'[["raw", "typed"], ["raw"]]')
    program = MODULE["calls.bpf.c"].replace(b"tp_btf/sys_enter", b"tp_btf/no_such_place")
    with ModuleRun({"module.toml": shared, "calls.bpf.c": program}) as run:
        assert [dropped.program for dropped in run.status.dropped] == ["typed"]
        assert run.status.attached == ("raw: raw tracepoint sys_enter",)


def test_manifest_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadManifest):
        ModuleRun(MODULE | {"module.toml": b"nmae = 'calls'"})


def test_nothing_stays_in_the_kernel() -> None:
    with ModuleRun(MODULE, settings={"only_pid": os.getpid()}) as run:
        programs = program_ids()
        assert programs
        run.stop()
        assert program_ids() == set()
    until = time.monotonic() + 30
    while any(map(is_loaded, programs)):
        assert time.monotonic() < until, f"programs {programs} are still in the kernel"
        time.sleep(0.05)


def is_loaded(program: str) -> bool:
    """Whether the kernel still has the program of this id."""
    shown = subprocess.run(["bpftool", "prog", "show", "id", program], capture_output=True, check=False)
    return shown.returncode == 0


def program_ids() -> set[str]:
    """The programs that this process holds, directly or by a link."""
    found: set[str] = set()
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            found |= set(re.findall(r"^prog_id:\s+(\d+)", info.read_text(), re.MULTILINE))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found
