"""The nearest names, and the question that offers them."""

from __future__ import annotations

from quarterdeck.kit.names import OFFERED, did_you_mean, nearest


def test_the_nearest_come_first_each_once_and_no_more_than_a_few() -> None:
    known = ["web-1", "web-2", "web-3", "web-4", "web-1", "database"]
    assert nearest("web-1", known)[0] == "web-1"
    assert len(nearest("web-9", known)) == OFFERED
    assert nearest("databsae", known, most=1) == ["database"]
    assert nearest("nothing", known) == []


def test_the_question_offers_names_or_says_where_they_are() -> None:
    assert did_you_mean(["a", "b"], otherwise="") == "Did you mean a or b?"
    assert did_you_mean(["a"], otherwise="", quote="'") == "Did you mean 'a'?"
    assert did_you_mean([], otherwise="See `qd node ls`.") == "See `qd node ls`."
