"""What some of the programs of programs/ send arrives as what it means: set, sent, read on the real kernel."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from quarterdeck.testing.module_run import ModuleRun

PROGRAMS = Path(__file__).parent / "programs"
NOBODY = 2**22  # no process has an id that high
SECOND_NS = 1_000_000_000

pytestmark = pytest.mark.usefixtures("may_load")


def test_moments_and_durations_in_other_units_are_nanoseconds() -> None:
    with ModuleRun(PROGRAMS / "microseconds") as run:
        row = run.wait_for("spans", lambda row: row["pid"] == os.getpid())
    assert row["span_us"] == 1_500_000
    assert row["time"] == row["ts_us"]
    assert abs(row["time"] - time.time_ns()) < 60 * SECOND_NS
    assert abs(row["time"] - row["began"]) < SECOND_NS


def test_a_record_may_end_in_an_array_that_something_stands_behind() -> None:
    with ModuleRun(PROGRAMS / "short_records") as run:
        row = run.wait_for("messages", lambda _: True)
    assert (row["length"], row["text"], row["direction"]) == (3, b"hi\0", 0)
    assert not any(loss.table == "messages" and loss.reason == "bad_record" for loss in run.losses)


def test_addresses_in_a_record_are_functions_and_ports_numbers() -> None:
    with ModuleRun(PROGRAMS / "inline_stacks") as run:
        row = run.wait_for("wakeups", lambda row: row["pid"] == os.getpid() and bool(row["ustack"]))
    assert row["ports"] == [80, 443]
    assert any("do_syscall" in function or "sys_enter" in function for function in row["kstack"])


def test_a_plain_global_is_set_where_the_manifest_names_it() -> None:
    with ModuleRun(PROGRAMS / "settings", settings={"only_pid": NOBODY}, interval_s=0.05) as run:
        os.getppid()
    assert run.rows("sums") == []
    with ModuleRun(PROGRAMS / "settings", settings={"only_pid": os.getpid(), "weights": [0, 1 << 20]}) as run:
        os.getppid()
    assert sum(row["sum"] for row in run.rows("sums")) >= 1 << 20


def test_records_of_a_ring_that_no_table_reads_are_nobodys_loss(tmp_path: Path) -> None:
    source = (PROGRAMS / "ring_record" / "ring_record.bpf.c").read_text()
    unread = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } unread SEC(".maps");
u64 calls;

SEC("raw_tp/sys_enter")
int count_calls(void *ctx)
{
	void *record = bpf_ringbuf_reserve(&unread, 512, 0);

	__sync_fetch_and_add(&calls, 1);
	if (record)
		bpf_ringbuf_submit(record, 0);
	return 0;
}
"""
    (tmp_path / "unread.bpf.c").write_text(source + unread)
    (tmp_path / "module.toml").write_text('name = "unread"\n[[table]]\nname = "calls"\nfrom = "calls"\n')
    with ModuleRun(tmp_path, interval_s=0.05) as run:
        run.wait_for("calls", lambda row: row["calls"] > 100)
    assert run.losses == ()


def test_one_probe_attaches_a_program_to_each_of_its_targets() -> None:
    manifest = b"""name = "calls"
[[table]]
name = "calls"
from = "calls"
read = "snapshot"
[[probe]]
program = "called"
kind = "tracepoint"
target = ["syscalls:sys_enter_getpid", "syscalls:sys_enter_getppid"]
"""
    program = b"""#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
u64 calls;
SEC("tracepoint") int called(struct trace_event_raw_sys_enter *ctx) { __sync_fetch_and_add(&calls, 1); return 0; }
"""
    with ModuleRun({"module.toml": manifest, "calls.bpf.c": program}) as run:
        attached = run.status.attached
    assert len(attached) == 2
    assert "getpid" in attached[0]
    assert "getppid" in attached[1]


def test_records_of_several_kinds_in_one_ring_become_rows_of_their_own_tables() -> None:
    with ModuleRun(PROGRAMS / "tagged", settings={"only_pid": os.getpid()}) as run:
        for _ in range(3):
            os.getppid()
    assert [row["flags"] for row in run.rows("opens")] == [10, 11] * 3
    assert [(row["head_kind"], row["fd"]) for row in run.rows("closes")] == [("CLOSE", 20), (7, 22)] * 3
    assert not run.losses
