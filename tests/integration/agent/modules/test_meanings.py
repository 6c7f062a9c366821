"""Values that programs of other tools leave to their loaders: gauges, and times that are unset."""

from __future__ import annotations

import asyncio
import time

from tests.integration.agent.modules.rig import HEADER, Rig, build, calls

#: as a tool that tells sequential from random access does: where the last one ended lies beside what is counted
POSITIONS = (
    HEADER
    + """
struct pattern { __u64 place; __u64 calls; __u32 forward; __u32 backward; };
struct { __uint(type, BPF_MAP_TYPE_KIND); __uint(max_entries, 64); __type(key, __u32); __type(value, struct pattern); }
m SEC(".maps");
struct pattern all;
static __always_inline void count(struct pattern *p, __u64 place)
{
    if (place < p->place) p->backward += 1; else p->forward += 1;
    p->place = place;
    __sync_fetch_and_add(&p->calls, 1);
}
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    __u32 key = 0;
    __u64 place = (__sync_fetch_and_add(&seq, 1) * 7919) % 100000 + 1000000;
    struct pattern zero = {}, *p = bpf_map_lookup_elem(&m, &key);
    if (!p) { bpf_map_update_elem(&m, &key, &zero, BPF_NOEXIST); p = bpf_map_lookup_elem(&m, &key); }
    if (p) count(p, place);
    count(&all, place);
    return 0;
}
"""
)


async def test_a_place_beside_counters_does_not_inflate_them(rig: Rig) -> None:
    for kind in ("HASH", "LRU_HASH", "ARRAY", "PERCPU_HASH", "PERCPU_ARRAY"):
        name = kind.lower()
        manifest = f'name = "{name}"\n' + "".join(
            f'[[table]]\nname = "{table}"\nfrom = "{origin}"\ninterval = "30ms"\n'
            for table, origin in ((name, "m"), (f"{name}_global", "all"))
        )
        built = build(name, POSITIONS.replace("TYPE_KIND", f"TYPE_{kind}"), manifest)
        await rig.running(built)
        for _ in range(12):
            calls(25)
            await asyncio.sleep(0.04)
        (status,) = rig.instances.statuses()
        assert any("'place'" in warning for warning in status.warnings), kind
        await rig.apply()
        for table in (name, f"{name}_global"):
            rows = rig.rows_now(table)
            assert sum(row["calls"] for row in rows) == 300, (kind, table)
            assert sum(row["forward"] + row["backward"] for row in rows) == 300, (kind, table)
            assert max(row["place"] for row in rows[-3:]) >= 1_000_000, (kind, table)


TIMES = (
    HEADER
    + """
struct event { __u64 ts; __u64 number; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } ring SEC(".maps");
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
    if (!e) return 0;
    e->number = __sync_fetch_and_add(&seq, 1);
    switch (e->number % 5) {
    case 0: e->ts = 12345; break;                                 /* a duration */
    case 1: e->ts = 0; break;                                     /* never written */
    case 2: e->ts = bpf_ktime_get_ns() + 8000000000000000000ULL; break;
    case 3: e->ts = bpf_ktime_get_ns() / 1000; break;             /* of another unit */
    default: e->ts = bpf_ktime_get_ns();
    }
    bpf_ringbuf_submit(e, 0);
    return 0;
}
"""
)


async def test_a_member_called_ts_is_believed_only_where_it_can_be_a_time(rig: Rig) -> None:
    before_s = time.time()
    await rig.running(
        build("times", TIMES, 'name = "times"\n[[table]]\nname = "times"\nfrom = "ring"\nrow = "event"\n')
    )
    calls(50)
    rows = await rig.rows("times", at_least=50)
    now_s = time.time()
    assert all(before_s <= row["time"].timestamp() <= now_s for row in rows)
    (status,) = rig.instances.statuses()
    assert [warning for warning in status.warnings if "'ts'" in warning] == list(status.warnings)
    assert len(status.warnings) == 1
