"""Guesses from names: only names with one meaning in every tool."""

from __future__ import annotations

import pytest

from quarterdeck.model.tables import ColumnRole, ColumnType
from quarterdeck.modulekit.meanings import is_counter, is_event, role_of, stack_side, unit_of


@pytest.mark.parametrize(
    "name", ["count", "total_us", "acq_total_time", "hits", "packets", "slots", "bytes", "value", "drops"]
)
def test_counters(name: str) -> None:
    assert is_counter(name)


@pytest.mark.parametrize(
    "name",
    ["pid", "key_pid", "last_seen_ns", "max_us", "min_time", "ts", "flags", "dport", "saddr_v4", "ifindex", "stack_id"],
)
def test_what_is_no_counter(name: str) -> None:
    assert not is_counter(name)


def test_pid_is_the_thread_beside_a_tgid() -> None:
    assert role_of("pid", ColumnType.UINT32, {"pid", "uid"}) is ColumnRole.PID
    assert role_of("pid", ColumnType.UINT32, {"pid", "tgid"}) is ColumnRole.TID
    assert role_of("tgid", ColumnType.INT32, {"pid", "tgid"}) is ColumnRole.PID


def test_a_role_needs_the_right_type() -> None:
    assert role_of("comm", ColumnType.STRING, ()) is ColumnRole.COMM
    assert role_of("comm", ColumnType.BINARY, ()) is None
    assert role_of("pid", ColumnType.STRING, ()) is None
    assert role_of("hpid", ColumnType.UINT32, ()) is None


def test_units_are_the_end_of_a_name() -> None:
    assert unit_of("delta_us") == "us"
    assert unit_of("read_bytes") == "B"
    assert unit_of("bytes") == ""


def test_stack_sides() -> None:
    assert stack_side("kern_stack_id") == "kernel"
    assert stack_side("user_stack") == "user"
    assert stack_side("w_k_stack_id") == "kernel"
    assert stack_side("target_ustack") == "user"
    assert stack_side("stack_id") == ""
    assert stack_side("book_stack") == ""


def test_events() -> None:
    assert [name for name in ("event", "data_t", "open_event", "key", "task_struct") if is_event(name)] == [
        "event",
        "data_t",
        "open_event",
    ]


GAUGES = """
    rtt srtt_us cwnd size rss rss_bytes qlen inflight in_flight depth queue_depth level status seq snd_seq position
    last_sector nr_running active_count cur_bytes
"""
COUNTERS = """
    total_size rtt_count rtt_sum size_hits read_bytes running_ns sectors sequential open calls acq_total_time wr alloc
"""


@pytest.mark.parametrize("name", GAUGES.split())
def test_what_goes_up_and_down_is_no_counter(name: str) -> None:
    assert not is_counter(name)


@pytest.mark.parametrize("name", COUNTERS.split())
def test_what_is_added_up_stays_a_counter(name: str) -> None:
    assert is_counter(name)
