"""What the experiment with the live log computes from where lines are."""

from __future__ import annotations

import math

from bench.ui_tail import moved


def test_the_line_that_moved_most_counts() -> None:
    assert moved({"a": 10.0, "b": 30.0}, {"a": 10.0, "b": 50.0, "c": 70.0}) == 20.0


def test_lines_that_stay_do_not_move() -> None:
    assert moved({"a": 10.0}, {"a": 10.0, "b": 30.0}) == 0.0


def test_a_line_that_is_gone_moved_out_of_sight() -> None:
    assert moved({"a": 10.0, "b": 30.0}, {"b": 30.0}) == math.inf
