"""Maps and globals as tables: the rows of all readings together are what the program counted."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.integration.agent.modules.rig import HEADER, Rig, build, calls

SOURCE = (
    HEADER
    + """
struct key { __u32 slot; char name[8]; };
struct value { __u64 count; __u64 last_ns; __u32 slots[4]; };
struct {
    __uint(type, BPF_MAP_TYPE_KIND); __uint(max_entries, 64); __type(key, KEY); __type(value, struct value);
} m SEC(".maps");
struct totals { __u64 calls; __u64 slots[4]; } totals;
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    __u32 n = __sync_fetch_and_add(&seq, 1) % 8;
    KEY key = INIT;
    struct value *v = bpf_map_lookup_elem(&m, &key);
    if (!v) {
        struct value zero = {};
        bpf_map_update_elem(&m, &key, &zero, BPF_NOEXIST);
        v = bpf_map_lookup_elem(&m, &key);
        if (!v) return 0;
    }
    __sync_fetch_and_add(&v->count, 1);
    __sync_fetch_and_add(&v->slots[n & 3], 1);
    v->last_ns = bpf_ktime_get_ns();
    __sync_fetch_and_add(&totals.calls, 1);
    __sync_fetch_and_add(&totals.slots[n & 3], 1);
    return 0;
}
"""
)


def source(kind: str) -> str:
    array = kind.endswith("ARRAY")
    filled = SOURCE.replace("TYPE_KIND", f"TYPE_{kind}").replace("KEY", "__u32" if array else "struct key")
    return filled.replace("INIT", "n" if array else '{ .slot = n, .name = "seven" }')


def manifest(name: str, more: str) -> str:
    return f'name = "{name}"\n[[table]]\nname = "{name}"\nfrom = "m"\ninterval = "100ms"\n{more}'


async def counted(rig: Rig, name: str, *, key: str) -> Counter[int]:
    """Return the sum of the rows after three rounds of 800 calls with readings between."""
    for _ in range(3):
        calls(800)
        await asyncio.sleep(0.25)
    await rig.apply()
    rows = rig.rows_now(name)
    for row in rows:
        assert sum(row["slots"]) == row["count"]
        assert row["count"] > 0
    total: Counter[int] = Counter()
    for row in rows:
        total[row[key]] += row["count"]
    return total


EVEN = Counter(dict.fromkeys(range(8), 300))


async def test_deltas_of_a_hash_add_up(rig: Rig) -> None:
    await rig.running(build("hash_deltas", source("HASH"), manifest("hash_deltas", "")))
    assert await counted(rig, "hash_deltas", key="slot") == EVEN
    assert {row["name"] for row in rig.rows_now("hash_deltas")} == {"seven"}
    assert len(rig.rows_now("hash_deltas")) < 8 * 8  # quiet readings give no rows


async def test_deltas_of_per_cpu_and_array_maps_add_up(rig: Rig) -> None:
    for kind, key in (("PERCPU_HASH", "slot"), ("LRU_HASH", "slot"), ("ARRAY", "key"), ("PERCPU_ARRAY", "key")):
        name = kind.lower()
        await rig.running(build(name, source(kind), manifest(name, "")))
        assert await counted(rig, name, key=key) == EVEN, kind


async def test_each_cpu_can_have_its_rows(rig: Rig) -> None:
    await rig.running(build("each_cpu", source("PERCPU_HASH"), manifest("each_cpu", 'per_cpu = "each"\n')))
    assert await counted(rig, "each_cpu", key="slot") == EVEN
    assert {"cpu"} <= set(rig.rows_now("each_cpu")[0])


async def test_a_drained_map_gives_each_entry_once(rig: Rig) -> None:
    await rig.running(build("drained", source("HASH"), manifest("drained", 'read = "drain"\n')))
    assert await counted(rig, "drained", key="slot") == EVEN


async def test_a_snapshot_gives_every_entry_every_time(rig: Rig) -> None:
    await rig.running(build("snapshot", source("HASH"), manifest("snapshot", 'read = "snapshot"\n')))
    calls(80)
    rows = await rig.rows("snapshot", at_least=24)
    assert {row["count"] for row in rows[-8:]} == {10}


async def test_a_global_variable_is_a_table(rig: Rig) -> None:
    text = manifest("totals", "").replace('"m"', '"totals"')
    await rig.running(build("totals", source("HASH"), text))
    for _ in range(2):
        calls(400)
        await asyncio.sleep(0.25)
    await rig.apply()
    rows = rig.rows_now("totals")
    assert sum(row["calls"] for row in rows) == 800
    assert [sum(slot) for slot in zip(*(row["slots"] for row in rows), strict=True)] == [200] * 4
