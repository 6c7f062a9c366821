"""Calls made = rows + losses, exactly, for each way of losing a row."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.model.losses import LossReason
from quarterdeck.model.modules import InstanceState
from tests.integration.agent.modules.rig import HEADER, Rig, build, calls, ring_manifest, ring_source
from tests.support import until

COUNT = 20_000

PERF = (
    HEADER
    + """
struct event { __u64 ts; __u64 seq; };
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    struct event e = { .ts = bpf_ktime_get_ns(), .seq = __sync_fetch_and_add(&seq, 1) };
    bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &e, sizeof(e));
    return 0;
}
"""
)

TRANSFORM = """
#define QD_ROWS 4096
#include <quarterdeck.h>
struct event { u64 ts; u64 seq; u32 pid; char comm[16]; };
QD_TABLE((timestamp_ns, time), (u64, seq))
QD_TRANSFORM(struct event, e)
{
    if (e->seq == 4321)
        BAD;
    QD_ROW(.time = e->ts, .seq = e->seq);
}
"""


SHORT = """
    if (number % 4 == 3) {
        bpf_ringbuf_discard(e, 0);
        bpf_ringbuf_output(&ring, &number, sizeof(number), 0);
        return 0;
    }
"""


async def test_a_full_ring(rig: Rig) -> None:
    await rig.running(build("ring_full", ring_source(ring_bytes=4096), ring_manifest("ring_full")))
    calls(COUNT)
    await rig.apply()
    rows, lost = len(rig.rows_now("ring_full")), rig.lost("ring_full", LossReason.RING_FULL)
    assert lost > 0
    assert rows + lost == COUNT


async def test_a_full_perf_buffer(rig: Rig) -> None:
    manifest = ring_manifest("perf_full").replace('"ring"', '"perf"')
    await rig.running(build("perf_full", PERF, manifest))
    calls(COUNT)
    await rig.apply()
    rows, lost = rig.rows_now("perf_full"), rig.lost("perf_full", LossReason.RING_FULL)
    assert len(rows) + lost == COUNT
    assert len({row["seq"] for row in rows}) == len(rows)


async def test_over_the_rate_limit(rig: Rig) -> None:
    await rig.running(build("throttled", ring_source(), ring_manifest("throttled", "rate_limit = 1000\n")))
    calls(COUNT)
    await rig.apply()
    rows, lost = len(rig.rows_now("throttled")), rig.lost("throttled", LossReason.THROTTLED)
    assert 1000 <= rows < COUNT
    assert rows + lost + rig.lost("throttled", LossReason.RING_FULL) == COUNT


async def test_a_trap_costs_its_chunk_and_no_more(rig: Rig) -> None:
    wasm = TRANSFORM.replace("BAD", "__builtin_trap()")
    built = build("traps", ring_source(), ring_manifest("traps", 'transform = "traps.wasm.c"\n'), traps__wasm__c=wasm)
    await rig.running(built)
    calls(4000)
    await rig.rows("traps", at_least=4000)
    calls(4000)
    await until(lambda: rig.lost("traps", LossReason.TRAP))
    calls(4000)
    await rig.apply()
    rows, lost = len(rig.rows_now("traps")), rig.lost("traps", LossReason.TRAP)
    assert 0 < lost <= 4000
    assert rows + lost == 12_000
    assert any("unreachable" in loss.detail for loss in rig.losses)


async def test_an_endless_loop_costs_its_chunks_and_then_the_instance(rig: Rig) -> None:
    wasm = TRANSFORM.replace("e->seq == 4321", "true").replace("BAD", "for (volatile u32 i = 0;; i++) { }")
    built = build("loops", ring_source(), ring_manifest("loops", 'transform = "loops.wasm.c"\n'), loops__wasm__c=wasm)
    beside = build("undisturbed", ring_source(), ring_manifest("undisturbed"))
    await rig.running(built, beside)
    for _ in range(10):
        calls(100)
        await asyncio.sleep(0.15)
    status = await rig.until("loops", lambda s: s.state is InstanceState.FAILED)
    assert "ran out of time" in status.reason
    await rig.apply(beside)
    assert len(await rig.rows("undisturbed", at_least=1000)) == 1000
    assert rig.lost("loops", LossReason.TIME_LIMIT) >= 300


async def test_records_too_short_for_their_struct(rig: Rig) -> None:
    source = ring_source().replace("e->ts = bpf", SHORT + "e->ts = bpf")
    await rig.running(build("short", source, ring_manifest("short")))
    calls(400)
    await rig.apply()
    assert len(rig.rows_now("short")) == 300
    assert rig.lost("short", LossReason.BAD_RECORD) == 100


FULL = (
    HEADER
    + """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); }
started SEC(".maps"), counts SEC(".maps"), answers SEC(".maps");
__u32 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    __u64 one = 1;
    __u32 key = MINE(id) ? __sync_fetch_and_add(&seq, 1) : 0;
    if (!MINE(id)) return 0;
    bpf_map_update_elem(&FILLED, &key, &one, BPF_ANY);
    key = 0;
    bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
    bpf_map_update_elem(&answers, &key, &one, BPF_ANY);
    return 0;
}
"""
)


@pytest.mark.parametrize(
    ("filled", "read", "charged"), [("started", "deltas", "counts"), ("answers", "deltas", "answers")]
)
async def test_a_full_map_is_named(rig: Rig, filled: str, read: str, charged: str) -> None:
    tables = "".join(
        f'[[table]]\nname = "{name}"\nfrom = "{name}"\ninterval = "50ms"\nread = "{read}"\n'
        for name in ("counts", "answers")
    )
    built = build("full", FULL.replace("FILLED", filled), 'name = "full"\n' + tables)
    assert any(f"'{charged}'" in each and 'read = "drain"' in each for each in built.build.warnings)
    await rig.running(built)
    calls(100)
    await rig.apply()
    found = [each for each in rig.losses if each.reason is LossReason.MAP_FULL]
    assert {(each.table, each.detail) for each in found} == {(charged, f"no room in map '{filled}' (64 entries)")}
    assert 30 <= sum(each.rows for each in found) <= 40
