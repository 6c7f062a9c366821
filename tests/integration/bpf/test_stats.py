"""What programs and maps cost, as the kernel counts it."""

from __future__ import annotations

from collections.abc import Callable

from quarterdeck.bpf import syscall
from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.stats import counting, map_memory_bytes, program_stats
from quarterdeck.bpf.uapi import ProgramType


def test_runs_are_counted_while_counting_is_on(opened: Callable[[str], BpfObject]) -> None:
    tables = opened("tables")
    tables.maps["stacks"].value_size = 80
    tables.load()
    fd = tables.programs["record_stack"].fd
    with counting():
        before = program_stats(fd)
        for _ in range(10):
            syscall.run_program(fd)
        after = program_stats(fd)
    assert (after.type, after.name) == (ProgramType.RAW_TRACEPOINT, "record_stack")
    assert after.run_count - before.run_count == 10
    assert after.run_time_ns > before.run_time_ns
    assert after.verified_instructions > 3
    assert after.jited_bytes > 0
    assert after.memory_bytes >= 4096


def test_map_memory(opened: Callable[[str], BpfObject]) -> None:
    tables = opened("tables")
    tables.maps["stacks"].value_size = 80
    tables.load()
    assert map_memory_bytes(tables.maps["hash"].fd) >= 20000 * 32
