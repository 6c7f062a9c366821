"""Counters that wrap, begin anew, appear and disappear never make a wrong amount."""

from __future__ import annotations

from quarterdeck.agent.usage.growth import Growth


def test_what_is_seen_for_the_first_time_has_no_growth_yet() -> None:
    growth = Growth()
    assert growth.since({"a": {"n": 5}}) == {}
    assert growth.since({"a": {"n": 7}, "b": {"n": 100}}) == {"a": {"n": 2}}


def test_what_begins_at_zero_has() -> None:
    assert Growth(from_zero=True).since({"a": {"n": 5}}) == {"a": {"n": 5}}


def test_what_came_back_grew_by_what_it_counted_since() -> None:
    growth = Growth(wrapping=("ms",))
    growth.since({"a": {"n": 1000, "m": 1, "ms": 900}})
    assert growth.since({"a": {"n": 10, "m": 5, "ms": 3}}) == {"a": {"n": 10, "m": 5, "ms": 3}}


def test_what_is_gone_is_forgotten() -> None:
    growth = Growth()
    growth.since({"a": {"n": 1000}})
    assert growth.since({}) == {}
    assert growth.since({"a": {"n": 1}}) == {}


def test_a_counter_of_32_bits_wraps() -> None:
    growth = Growth(wrapping=("ms",))
    growth.since({"a": {"n": 1, "ms": 2**32 - 10}})
    assert growth.since({"a": {"n": 1, "ms": 5}}) == {"a": {"n": 0, "ms": 15}}
