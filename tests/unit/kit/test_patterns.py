"""Patterns for names."""

from __future__ import annotations

from quarterdeck.kit.patterns import matches, matches_any


def test_a_pattern_is_for_the_whole_name_and_minds_case() -> None:
    assert matches("get_file", "get_*")
    assert not matches("get_file", "get")
    assert not matches("Get_file", "get_*")


def test_one_of_several_patterns_is_enough_and_none_matches_nothing() -> None:
    assert matches_any("ping", ["exec*", "p?ng"])
    assert not matches_any("ping", [])
