"""Sizes of answers."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.api.mcp.bounds import beginning, end, fitting


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (5, 0), (6, 1), (11, 1), (12, 2), (100, 2)])
def test_as_many_items_fit_as_their_json_takes(limit: int, count: int) -> None:
    items = ["abc", "def"]
    assert list(fitting(items, limit)) == items[:count]
    assert len(msgspec.json.encode(fitting(items, limit))) <= max(2, limit + 1)


def test_a_long_text_says_how_much_of_it_was_cut() -> None:
    assert (beginning("abc", 3), end("abc", 3)) == ("abc", "abc")
    assert beginning("abcde", 3) == "abc… [2 characters cut]"
    assert end("abcde", 3) == "[2 characters cut] …cde"
    assert end("abcde", 0) == "[5 characters cut] …"
