"""A 64-bit enum in records of the real kernel: its names are in the rows, and the numbers that have none."""

from __future__ import annotations

from quarterdeck.testing.module_run import readable
from tests.integration.agent.modules.rig import HEADER, Rig, build, calls, ring_manifest

SOURCE = (
    HEADER
    + """
enum large { NOTHING = 0, LARGE = 1ULL << 40 };
struct event { enum large kind; __u64 count; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } ring SEC(".maps");
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
    if (!e) return 0;
    e->count = __sync_fetch_and_add(&seq, 1);
    e->kind = e->count == 0 ? NOTHING : e->count == 1 ? LARGE : (enum large)(LARGE + e->count);
    bpf_ringbuf_submit(e, 0);
    return 0;
}
"""
)


async def test_rows_have_the_names_of_a_64_bit_enum(rig: Rig) -> None:
    await rig.running(build("large", SOURCE, ring_manifest("large")))
    calls(4)
    await rig.rows("large", at_least=4)
    rows = [row for table, _, body, _ in rig.batches for row in readable(table, body)]
    assert [row["kind"] for row in rows] == ["NOTHING", "LARGE", str((1 << 40) + 2), str((1 << 40) + 3)]
