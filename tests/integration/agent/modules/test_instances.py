"""The states of module instances on the real kernel: start, fail, retry, change, end."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from pathlib import Path

from quarterdeck.model.modules import InstanceState
from tests.integration.agent.modules.rig import HEADER, Rig, build, calls, ring_manifest, ring_source
from tests.support import require


def bpf_fds() -> int:
    """Return the BPF programs, maps and links that this process holds."""
    gc.collect()  # what earlier tests left is not to be closed between two counts
    links = (str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum("bpf" in link or "perf_event" in link for link in links)


def comm() -> str:
    """Return this thread's name in the kernel."""
    return Path("/proc/self/comm").read_text().strip()


REFUSED = """
struct event { __u64 seq; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
SEC("raw_tp/sys_enter") int bad(void *ctx)
{
    struct event e = { .seq = *(int *)0xffff };
    bpf_ringbuf_output(&ring, &e, sizeof(e), 0);
    return 0;
}
"""


async def test_every_call_becomes_a_row(rig: Rig) -> None:
    await rig.running(build("every_call", ring_source(), ring_manifest("every_call")))
    began = time.time()
    calls(5000)
    rows = await rig.rows("every_call", at_least=5000)
    assert [row["seq"] for row in rows] == list(range(5000))
    assert {(row["pid"], row["comm"]) for row in rows} == {(os.getpid(), comm())}
    times = [row["time"].timestamp() for row in rows]
    assert began - 0.1 < times[0] <= times[-1] < time.time() + 0.1
    (stats,) = rig.instances.stats()
    assert (stats.rows, stats.records, stats.lost) == (5000, 5000, 0)
    assert stats.bytes == 5000 * 48
    assert stats.memory_bytes > 1 << 20
    assert stats.agent_ns > 0
    assert stats.runs >= 5000
    assert stats.kernel_ns > 0


async def test_what_was_made_before_the_end_is_not_lost(rig: Rig) -> None:
    await rig.running(build("last_rows", ring_source(flags=1), ring_manifest("last_rows")))  # wakes nobody
    calls(1000)
    await rig.apply()
    assert len(rig.rows_now("last_rows")) == 1000
    assert rig.instances.statuses() == ()


async def test_a_program_that_wakes_nobody_is_read_too(rig: Rig) -> None:
    await rig.running(build("no_wakeup", ring_source(flags=1), ring_manifest("no_wakeup")))
    calls(10)
    assert len(await rig.rows("no_wakeup", at_least=10)) == 10


async def test_an_ended_instance_leaves_nothing_behind(rig: Rig) -> None:
    before = bpf_fds()
    built = build("leaves_nothing", ring_source(), ring_manifest("leaves_nothing"))
    await rig.running(built)
    assert bpf_fds() > before
    await rig.instances.close()
    assert bpf_fds() == before


async def test_a_refused_program_is_reported_with_the_verifiers_words_and_tried_again(rig: Rig) -> None:
    bad = build("refused", HEADER + REFUSED, ring_manifest("refused"))
    good = build("beside", ring_source(), ring_manifest("beside"))
    await rig.apply(bad, good)
    status = await rig.until("refused", lambda s: s.state is InstanceState.FAILED)
    assert status.reason
    assert any("invalid" in line for line in status.log), status.log
    assert (status.revision, status.attempt) == (1, 1)
    assert status.retry_at > time.time()
    await rig.until("beside", lambda s: s.state is InstanceState.SUCCEEDED)
    calls(10)
    assert len(await rig.rows("beside", at_least=10)) == 10
    assert (await rig.until("refused", lambda s: s.attempt == 2)).state is not InstanceState.SUCCEEDED


async def test_of_several_programs_one_may_be_refused(rig: Rig) -> None:
    bad = 'SEC("raw_tp/sys_exit") int bad(void *ctx) { return *(int *)0xffff; }'
    await rig.running(build("one_less", ring_source() + bad, ring_manifest("one_less")))
    status = await rig.until("one_less", lambda s: s.state is InstanceState.SUCCEEDED)
    assert [dropped.program for dropped in status.dropped] == ["bad"]
    calls(10)
    assert len(await rig.rows("one_less", at_least=10)) == 10


async def test_a_table_that_nothing_fills_any_more_fails_the_instance(rig: Rig) -> None:
    source = ring_source().replace("raw_tp/sys_enter", "raw_tp/no_such_event")
    other = 'SEC("raw_tp/sys_exit") int idle(void *ctx) { return 0; }'
    await rig.apply(build("nobody_left", source + other, ring_manifest("nobody_left")))
    status = await rig.until("nobody_left", lambda s: s.state is InstanceState.FAILED)
    assert "No program that fills table 'nobody_left' works on this kernel" in status.reason


async def test_a_missing_attach_point_is_named(rig: Rig) -> None:
    source = ring_source().replace("raw_tp/sys_enter", "raw_tp/no_such_event")
    await rig.apply(build("no_place", source, ring_manifest("no_place")))
    status = await rig.until("no_place", lambda s: s.state is InstanceState.FAILED)
    assert "no_such_event" in status.reason


async def test_the_first_alternative_that_works_is_used_and_the_rest_is_said(rig: Rig) -> None:
    first = ring_source().replace("raw_tp/sys_enter", "raw_tp/no_such_event").replace("on_call", "first")
    second = 'SEC("raw_tp/sys_enter") int BPF_PROG(second, void *regs, long id) {' + first.split("long id)\n{")[1]
    more = 'SEC("raw_tp/sys_exit") int BPF_PROG(along, void *regs, long ret) { return 0; }\n'
    manifest = 'alternatives = [[["first", "along"], ["second"]]]\n' + ring_manifest("choice")
    await rig.running(build("choice", first + second + more, manifest))
    (status,) = rig.instances.statuses()
    assert [each.program for each in status.dropped] == ["first", "along"]
    assert "no_such_event" in status.dropped[0].reason
    assert status.attached == ("second: raw tracepoint sys_enter",)
    calls(10)
    assert len(await rig.rows("choice", at_least=10)) == 10


BY_PLACE = """
struct event { __u64 seq; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
static int send(void)
{
    struct event e = { .seq = 1 };
    return bpf_ringbuf_output(&ring, &e, sizeof(e), 0);
}
SEC("tp_btf/sched_process_exit") int exit_btf(void *ctx) { return send(); }
SEC("raw_tp/sched_process_exit") int exit_raw(void *ctx) { return send(); }
SEC("tp_btf/no_such_event") int absent_btf(void *ctx) { return send(); }
SEC("raw_tp/no_such_event") int absent_raw(void *ctx) { return send(); }
SEC("tp_btf/no_other_event") int other_btf(void *ctx) { return send(); }
SEC("raw_tp/no_other_event") int other_raw(void *ctx) { return send(); }
"""


async def test_an_event_that_this_kernel_lacks_costs_no_other(rig: Rig) -> None:
    await rig.running(build("by_place", HEADER + BY_PLACE, ring_manifest("by_place")))
    (status,) = rig.instances.statuses()
    assert len(status.attached) == 1
    assert status.attached[0].startswith("exit_btf: ")
    dropped = {each.program: each.reason for each in status.dropped}
    assert set(dropped) == {"absent_btf", "absent_raw", "other_btf", "other_raw"}
    assert "no_such_event" in dropped["absent_btf"]
    assert "no_other_event" in dropped["other_btf"]


NOWHERE = """
struct event { __u64 seq; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
static int send(void)
{
    struct event e = { .seq = 1 };
    return bpf_ringbuf_output(&ring, &e, sizeof(e), 0);
}
SEC("tp_btf/absent_one") int one_btf(void *ctx) { return 0; }
SEC("tp_btf/absent_one") int one_too(void *ctx) { return 0; }
SEC("raw_tp/absent_one") int one_raw(void *ctx) { return 0; }
SEC("tp_btf/absent_two") int two_btf(void *ctx) { return send(); }
SEC("raw_tp/absent_two") int two_raw(void *ctx) { return send(); }
"""


async def test_what_nothing_works_of_is_told_once_and_of_the_right_program(rig: Rig) -> None:
    await rig.apply(build("nowhere", HEADER + NOWHERE, ring_manifest("nowhere")))
    status = await rig.until("nowhere", lambda s: s.state is InstanceState.FAILED)
    assert "one_btf, one_too: this kernel has no function or event 'absent_one'" in status.reason
    assert "two_btf: this kernel has no function or event 'absent_two'" in status.reason
    assert status.reason.count("'absent_one'") == 1


USDT_WITHOUT_MAPS = """
struct event { __u64 seq; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
static int send(void)
{
    struct event e = { .seq = 1 };
    return bpf_ringbuf_output(&ring, &e, sizeof(e), 0);
}
SEC("usdt") int began(void *ctx) { return send(); }
SEC("usdt") int ended(void *ctx) { return send(); }
"""


async def test_a_usdt_program_without_its_header_is_told_which(rig: Rig) -> None:
    python = next((path for path in map(Path, ("/usr/bin/python3", "/usr/local/bin/python3")) if path.exists()), None)
    require(python is not None and b"gc__start" in python.read_bytes(), "a python3 with USDT markers is needed")
    place = f'kind = "usdt"\nbinary = "{python}"\ntarget = "python:gc__'
    probes = f'[[probe]]\nprogram = "began"\n{place}start"\n[[probe]]\nprogram = "ended"\n{place}done"\n'
    await rig.apply(build("no_header", HEADER + USDT_WITHOUT_MAPS, ring_manifest("no_header") + probes))
    status = await rig.until("no_header", lambda s: s.state is InstanceState.FAILED)
    assert status.reason.count("it does not include <bpf/usdt.bpf.h>") == 2


async def test_optional_programs_may_be_missing_and_disabled_ones_are_never_loaded(rig: Rig) -> None:
    more = 'SEC("raw_tp/no_such_event") int other(void *ctx) { return 0; }\n'
    more += 'SEC("raw_tp/sys_exit") int off(void *ctx) { return *(int *)0xffff; }\n'
    manifest = 'optional = ["other"]\ndisabled = ["off"]\n' + ring_manifest("partly")
    await rig.running(build("partly", ring_source() + more, manifest))
    (status,) = rig.instances.statuses()
    assert [each.program for each in status.dropped] == ["other"]
    assert len(status.attached) == 1


async def test_a_wrong_setting_fails_and_a_right_one_heals(rig: Rig) -> None:
    built = build("settings", ring_source(), ring_manifest("settings"))
    await rig.apply(built, only_pid=-1)
    status = await rig.until("settings", lambda s: s.state is InstanceState.FAILED)
    assert "only_pid" in status.reason
    assert "4294967295" in status.reason
    await rig.running(built)
    calls(3)
    assert len(await rig.rows("settings", at_least=3)) == 3


async def test_only_what_differs_is_restarted(rig: Rig) -> None:
    one = build("stays", ring_source(), ring_manifest("stays"))
    two = build("goes", ring_source(), ring_manifest("goes"))
    await rig.running(one, two)
    since = {status.instance_id: status.since for status in rig.instances.statuses()}
    await rig.running(one)
    (status,) = rig.instances.statuses()
    assert (status.instance_id, status.since, status.revision) == ("stays", since["stays"], 2)
    changed = build("stays", ring_source(), ring_manifest("stays", 'retention = "1h"\n'))
    await rig.running(changed)
    (status,) = rig.instances.statuses()
    assert status.since > since["stays"]


async def test_an_artefact_that_does_not_come_blocks_neither_others_nor_the_end(rig: Rig) -> None:
    waiting = build("waiting", ring_source(), ring_manifest("waiting"))
    other = build("other", ring_source(), ring_manifest("other"))
    get = rig.instances._artefacts

    async def sometimes(artefact: object) -> bytes:
        if getattr(artefact, "name", "") == "waiting.bpf.o":
            await asyncio.Event().wait()
        return await get(artefact)  # type: ignore[arg-type]

    rig.instances._artefacts = sometimes  # type: ignore[assignment]
    await rig.apply(waiting, other)
    await rig.until("other", lambda s: s.state is InstanceState.SUCCEEDED)
    assert (await rig.until("waiting", lambda _: True)).state is InstanceState.IN_PROGRESS
    await rig.apply(other)
    assert [status.instance_id for status in rig.instances.statuses()] == ["other"]


async def test_perf_buffers_of_a_failed_alternative_do_not_hide_why_it_failed(rig: Rig) -> None:
    source = (
        HEADER
        + """
struct event { __u64 seq; };
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } ring SEC(".maps");
static int send(void *ctx)
{
    struct event e = { .seq = 1 };
    return bpf_perf_event_output(ctx, &ring, BPF_F_CURRENT_CPU, &e, sizeof(e));
}
SEC("raw_tp/no_such_event") int first(void *ctx) { return send(ctx); }
SEC("raw_tp/no_other_event") int second(void *ctx) { return send(ctx); }
"""
    )
    manifest = ring_manifest("perf_choice").replace("[[table]]", 'alternatives = [[["first"], ["second"]]]\n[[table]]')
    await rig.apply(build("perf_choice", source, manifest))
    status = await rig.until("perf_choice", lambda s: s.state is InstanceState.FAILED)
    assert "no_such_event" in status.reason
    assert "no_other_event" in status.reason
