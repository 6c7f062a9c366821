"""The sources that lose messages in a full store: the largest first, down to a share, the oldest messages first."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.agent.messages.runs import Source
from quarterdeck.agent.messages.shares import choose

FLOOD, WEB, DB = (Source(name) for name in ("flood", "web", "db"))


@pytest.mark.parametrize(
    ("need", "going"),
    [
        (0, [dict[Source, int](), {}, {}]),
        (50, [{FLOOD: 90}, {}, {}]),  # whole files are cheap
        (100, [{FLOOD: 90}, {FLOOD: 100}, {}]),
        (300, [{FLOOD: 90}, {FLOOD: 100}, {FLOOD: 70}]),  # and its share is left
    ],
)
def test_only_the_source_above_its_share_is_evicted(need: int, going: list[dict[Source, int]]) -> None:
    files = [{FLOOD: 90, WEB: 5, DB: 5}, {FLOOD: 100}, {FLOOD: 90, WEB: 10}]
    assert choose(files, need=need, share=20) == going


def test_the_sources_furthest_above_their_share_are_evicted_first() -> None:
    files = [{FLOOD: 60, WEB: 40}, {FLOOD: 60, WEB: 10, DB: 30}]
    assert choose(files, need=30, share=10) == [{FLOOD: 60}, {}]
    assert choose(files, need=90, share=10) == [{FLOOD: 60, WEB: 40}, {}]
    assert choose(files, need=1000, share=10) == [{FLOOD: 60, WEB: 40}, {FLOOD: 50, DB: 20}]


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from([FLOOD, WEB, DB]), st.integers(1, 1000)), max_size=6),
    st.integers(0, 5000),
    st.integers(1, 500),
)
def test_nobody_falls_below_the_share_and_the_oldest_go_first(
    files: list[dict[Source, int]], need: int, share: int
) -> None:
    held, gone = Counter[Source](), Counter[Source]()
    chosen = choose(files, need=need, share=share)
    for sizes, going in zip(files, chosen, strict=True):
        held.update(sizes)
        gone.update(going)
        assert all(0 < size <= sizes[source] for source, size in going.items())
    for source, size in gone.items():
        assert held[source] - size >= share
        last = max(number for number, going in enumerate(chosen) if source in going)
        assert all(chosen[n].get(source) == sizes.get(source) for n, sizes in enumerate(files[:last]))
    spare = sum(max(0, size - share) for size in held.values())
    assert sum(gone.values()) >= min(need, spare)
