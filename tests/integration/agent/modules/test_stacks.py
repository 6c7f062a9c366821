"""Stacks of this very process, by id and inside the record, as the names of functions."""

from __future__ import annotations

import os

import pytest

from quarterdeck.model.errors import BadManifest
from tests.integration.agent.modules.rig import HEADER, Rig, build, calls, ring_manifest

SOURCE = (
    HEADER
    + """
struct event { __u64 ts; __u32 pid; __s32 user_id; __s32 kernel_id; __u64 inside[16]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 20); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 1024); __uint(key_size, 4); } stacks SEC(".maps");
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
    if (!e) return 0;
    e->ts = bpf_ktime_get_ns(); e->pid = only_pid;
    e->user_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
    e->kernel_id = bpf_get_stackid(ctx, &stacks, 0);
    __builtin_memset(e->inside, 0, sizeof(e->inside));
    bpf_get_stack(ctx, e->inside, sizeof(e->inside), BPF_F_USER_STACK);
    bpf_ringbuf_submit(e, 0);
    return 0;
}
"""
)

MORE = """
[table.columns.user_id]
name = "by_id"
stack = "stacks"
stack_pid = "pid"

[table.columns.kernel_id]
name = "kernel"
stack = "stacks"

[table.columns.inside]
stack = "inline"
stack_pid = "pid"

[maps.stacks]
depth = 32
"""


async def test_frames_have_names(rig: Rig) -> None:
    await rig.running(build("frames", SOURCE, ring_manifest("frames", MORE)))
    calls(20)
    for row in await rig.rows("frames", at_least=20):
        assert "getppid" in row["by_id"][0]
        assert row["by_id"][:8] == row["inside"][:8]
        assert len(row["kernel"]) >= 1


@pytest.mark.parametrize("owner", ['"only_pid"', "{own}"])
async def test_the_process_of_stacks_may_be_a_setting_or_a_number(rig: Rig, owner: str) -> None:
    more = MORE.replace('"pid"', owner.format(own=os.getpid())) + "[table.columns.pid]\nhide = true\n"
    await rig.running(build("owned", SOURCE, ring_manifest("owned", more)))
    calls(20)
    for row in await rig.rows("owned", at_least=20):
        assert "getppid" in row["by_id"][0]
        assert row["by_id"][:8] == row["inside"][:8]
        assert not row["kernel"][0].startswith("0x")


async def test_without_a_process_users_frames_stay_addresses(rig: Rig) -> None:
    source = SOURCE.replace(
        "const volatile __u32 only_pid", "const volatile int whose = -1;\nconst volatile __u32 only_pid"
    )
    await rig.running(build("nobodys", source, ring_manifest("nobodys", MORE.replace('"pid"', '"whose"'))))
    calls(5)
    for row in await rig.rows("nobodys", at_least=5):
        assert all(frame.startswith("0x") for frame in (*row["by_id"], *row["inside"]))


def test_what_holds_no_process_is_refused(kernel: None) -> None:
    for owner, says in (('"whoever"', "no column that is kept and no setting"), ("0", "found 0")):
        with pytest.raises(BadManifest, match=says):
            build("wrong", SOURCE, ring_manifest("wrong", MORE.replace('"pid"', owner)))
