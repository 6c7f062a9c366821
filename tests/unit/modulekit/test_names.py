"""The message about a name that does not exist."""

from __future__ import annotations

from quarterdeck.modulekit.names import nearest


def test_names_the_nearest() -> None:
    assert nearest("evnts", ["events", "counts"]) == "Did you mean 'events'?"


def test_lists_what_there_is() -> None:
    assert nearest("zzz", ["b", "a"]) == "There is: a, b."
    assert nearest("zzz", [f"n{i}" for i in range(12)]).endswith("and 4 more.")


def test_says_when_there_is_nothing() -> None:
    assert nearest("x", []) == "There is none."
