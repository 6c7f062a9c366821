"""Which programs fill a table: through calls, on demand, and as iterators; and what is said when none does."""

from __future__ import annotations

import os

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.modules import InstanceState
from tests.integration.agent.modules.rig import HEADER, Rig, build, calls
from tests.support import until

#: the program that fills `m` through a subprogram hangs where this kernel has nothing
CALLS = (
    HEADER
    + """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); }
m SEC(".maps"), other SEC(".maps");
static __noinline int fill(__u32 key)
{ __u64 one = 1; bpf_map_update_elem(&m, &key, &one, BPF_ANY); return 0; }
static __noinline int fill_other(__u32 key)
{ __u64 one = 1; bpf_map_update_elem(&other, &key, &one, BPF_ANY); return 0; }
SEC("tp/no_such/event") int filler(void *ctx) { return fill(1); }
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id) { return MINE(id) ? fill_other(2) : 0; }
"""
)


def table(name: str, origin: str, more: str = "") -> str:
    return f'[[table]]\nname = "{name}"\nfrom = "{origin}"\ninterval = "50ms"\nread = "snapshot"\n{more}'


async def test_a_subprogram_does_not_make_every_program_a_writer(rig: Rig) -> None:
    built = build("sub", CALLS, 'name = "sub"\n' + table("sub", "m"))
    assert built.build.sources[0].writers == ("filler",)
    await rig.apply(built)
    status = await rig.until("sub", lambda each: each.state in {InstanceState.SUCCEEDED, InstanceState.FAILED})
    assert status.state is InstanceState.FAILED
    assert status.reason.startswith(
        "No program that fills table 'sub' works on this kernel: filler: this kernel has no tracepoint no_such:event."
    )
    assert build("sub", CALLS, 'name = "sub"\n' + table("sub", "other")).build.sources[0].writers == ("on_call",)


async def test_a_table_that_no_program_touches_does_not_look_well(rig: Rig) -> None:
    built = build("sub", CALLS, 'name = "sub"\ndisabled = ["filler"]\n' + table("sub", "m"))
    assert any("'sub' would stay empty" in warning for warning in built.build.warnings)
    await rig.apply(built)
    status = await rig.until("sub", lambda each: each.state is InstanceState.FAILED)
    assert "Table 'sub' would stay empty: no loaded program uses its source (m)." in status.reason


async def test_a_program_attached_nowhere_is_given_as_the_reason(rig: Rig) -> None:
    source = CALLS + 'SEC("syscall") int filled_by_hand(void *ctx) { return fill(3); }\n'
    built = build("idle", source, 'name = "idle"\ndisabled = ["filler"]\n' + table("idle", "m"))
    await rig.apply(built)
    status = await rig.until("idle", lambda each: each.state is InstanceState.FAILED)
    assert "works on this kernel: filled_by_hand: it is attached nowhere." in status.reason


ON_DEMAND = CALLS.replace('SEC("tp/no_such/event") int filler(void *ctx) { return fill(1); }', "").replace(
    'SEC("raw_tp', 'SEC("?raw_tp'
)


@pytest.mark.parametrize(
    "named",
    [
        'alternatives = [[["on_call"]]]\n',
        'optional = ["on_call"]\n',
        '[[probe]]\nprogram = "on_call"\nkind = "raw_tp"\ntarget = "sys_enter"\n',
    ],
)
async def test_a_program_that_is_off_by_default_runs_when_it_is_named(rig: Rig, named: str) -> None:
    source = ON_DEMAND + 'SEC("raw_tp/sched_switch") int nothing(void *ctx) { return 0; }\n'
    top, probe = ("", named) if named.startswith("[[") else (named, "")
    without = build("off", source, 'name = "off"\n' + table("off", "other")).build.warnings
    assert any("begin with '?': on_call" in warning for warning in without)
    await rig.running(build("off", source, f'name = "off"\n{top}' + table("off", "other") + probe))
    calls(3)
    assert (await rig.rows("off", at_least=1))[0]["key"] == 2


TASKS = (
    HEADER
    + """
struct task_row { __u64 start; __u32 pid; __u32 tgid; char comm[16]; };
SEC("iter/task") int tasks(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    if (!task || (only_pid && task->tgid != only_pid)) return 0;
    struct task_row row = { .pid = task->pid, .tgid = task->tgid, .start = task->start_time };
    __builtin_memcpy(row.comm, task->comm, 16);
    bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
    return 0;
}
SEC("iter/task") int words(struct bpf_iter__task *ctx)
{
    if (ctx->task) BPF_SEQ_PRINTF(ctx->meta->seq, "%d\\n", ctx->task->pid);
    return 0;
}
"""
)


async def test_an_iterator_is_a_table_that_is_read_at_every_interval(rig: Rig) -> None:
    built = build("tasks", TASKS, 'name = "tasks"\n' + table("tasks", "tasks", 'row = "task_row"\n'))
    assert any("not loaded" in warning and "words" in warning for warning in built.build.warnings)
    await rig.running(built)
    await until(lambda: len({row["time"] for row in rig.rows_now("tasks") if row["pid"] == os.getpid()}) > 1)
    rows = rig.rows_now("tasks")
    assert {row["tgid"] for row in rows} == {os.getpid()}
    await rig.apply()
    assert not rig.losses


async def test_an_iterator_may_find_every_task_and_its_records_may_be_transformed(rig: Rig) -> None:
    manifest = 'name = "walk"\n' + table("walk", "tasks", 'row = "task_row"\ntransform = "walk.wasm.c"\n')
    guest = """
#include "quarterdeck.h"
struct task_row { u64 start; u32 pid; u32 tgid; char comm[16]; };
QD_TABLE((u32, pid), (bool, leader))
QD_TRANSFORM(struct task_row, t) { QD_ROW(.pid = t->pid, .leader = t->pid == t->tgid); }
"""
    await rig.running(build("walk", TASKS, manifest, walk__wasm__c=guest), only_pid=0)
    rows = await rig.rows("walk", at_least=5)
    assert all(row["leader"] for row in rows if row["pid"] == os.getpid())
    assert {os.getpid(), os.getppid()} <= {row["pid"] for row in rows}
    assert any(not row["leader"] for row in rows)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (table("t", "words", 'row = "task_row"\n'), "writes no records"),
        ('[[table]]\nname = "t"\nfrom = ["tasks", "words"]\nrow = "task_row"\n', "fills a table alone"),
    ],
)
def test_what_an_iterator_cannot_be_is_said(kernel: None, manifest: str, says: str) -> None:
    with pytest.raises(BadManifest, match=says):
        build("tasks", TASKS, 'name = "tasks"\n' + manifest)


@pytest.mark.parametrize("section", ["tp/no_such/event", "tp_btf/no_such_event", "kprobe/no_such_function"])
async def test_what_this_kernel_lacks_is_not_tried_again(rig: Rig, section: str) -> None:
    source = HEADER + f'__u64 total;\nSEC("{section}") int filler(void *ctx) {{ total++; return 0; }}\n'
    await rig.apply(build("lacking", source, 'name = "lacking"\n[[table]]\nname = "lacking"\nfrom = "total"\n'))
    status = await rig.until("lacking", lambda each: each.state is InstanceState.FAILED)
    assert status.retry_at == 0.0
    assert "this kernel has no" in status.reason
