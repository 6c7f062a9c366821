"""What each program of an object may touch: its own maps, and through whatever it calls, those of others."""

from __future__ import annotations

import pytest

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.modulekit.programs import ProgramDeclaration, programs_of
from tests.compiled import compile_bpf

SOURCE = """
static long (*const bpf_map_update_elem)(void *, const void *, const void *, __u64) = (void *)2;
static long (*const bpf_map_delete_elem)(void *, const void *) = (void *)3;
static long (*const bpf_tail_call)(void *, void *, __u32) = (void *)12;
static long (*const bpf_loop)(__u32, void *, void *, __u64) = (void *)181;
#define MAP __uint(type, 1); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64)
struct { MAP; } counts SEC(".maps"), other SEC(".maps"), start SEC(".maps");
__u64 total, untouched = 1;
static __u64 hidden[3];
static __attribute__((noinline)) int bump(__u32 key)
{ __u64 one = 1; bpf_map_update_elem(&counts, &key, &one, 0); return 0; }
static __attribute__((noinline)) int twice(__u32 key) { return bump(key) + bump(key + 1); }
__attribute__((noinline)) int shared(__u32 key)
{ __u64 one = 1; bpf_map_update_elem(&other, &key, &one, 0); bpf_map_delete_elem(&start, &key); return 0; }
static int each(__u32 number, void *context) { __sync_fetch_and_add(&total, 1); return 0; }
SEC("raw_tp/sys_enter") int through_two(void *context) { return twice(1); }
SEC("raw_tp/sys_enter") int through_a_global(void *context) { return shared(1); }
SEC("raw_tp/sys_enter") int by_callback(void *context) { return bpf_loop(3, each, (void *)0, 0); }
SEC("raw_tp/sys_exit") int nothing(void *context) { return 0; }
SEC("raw_tp/sys_exit") int a_static(void *context) { __sync_fetch_and_add(&hidden[2], 1); return 0; }
struct { __uint(type, 3); __uint(max_entries, 1); __uint(key_size, 4); __array(values, int (void *)); }
jumps SEC(".maps") = { .values = { [0] = (void *)&through_two } };
SEC("raw_tp/sys_exit") int by_tail_call(void *context) { bpf_tail_call(context, &jumps, 0); return 0; }
"""


@pytest.fixture(scope="module")
def programs() -> dict[str, ProgramDeclaration]:
    return {each.name: each for each in programs_of(ObjectFile(compile_bpf(SOURCE)))}


@pytest.mark.parametrize(
    ("program", "touches"),
    [
        ("through_two", {"counts"}),
        ("through_a_global", {"other", "start"}),
        ("by_callback", {"total", ".bss"}),
        ("nothing", set[str]()),
        ("a_static", {"hidden", ".bss"}),
        ("by_tail_call", {"jumps", "counts"}),
    ],
)
def test_a_program_touches_what_it_reaches_and_no_more(
    programs: dict[str, ProgramDeclaration], program: str, touches: set[str]
) -> None:
    assert programs[program].refers == touches


def test_deletions_are_known_by_map(programs: dict[str, ProgramDeclaration]) -> None:
    assert programs["through_a_global"].deletes == {"start"}
    assert not programs["through_two"].deletes
