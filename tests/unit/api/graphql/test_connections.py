"""Pages of a list: their cursors, and what happens when the list changes between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.api.graphql.connections import LIST_LIMIT, PAGE_LIMIT, connection
from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct


class Entry(Struct, frozen=True, kw_only=True):
    """An entry."""

    id: int


ENTRIES = connection(Entry, "Entry", total=int)


class Log:
    """A list of which the newest entries come first."""

    def __init__(self, count: int) -> None:
        self.entries = [Entry(id=number) for number in reversed(range(count))]
        self.asked: list[int] = []

    async def read(self, limit: int) -> Sequence[Entry]:
        self.asked.append(limit)
        return self.entries[:limit]

    def add(self, count: int) -> None:
        self.entries = [Entry(id=len(self.entries) + number) for number in reversed(range(count))] + self.entries

    async def page(self, first: int, after: str | None = None) -> Any:
        return await ENTRIES.read(self.read, key=lambda entry: str(entry.id), first=first, after=after, total=7)


@given(count=st.integers(0, 40), first=st.integers(1, 15), added=st.lists(st.integers(0, 300), max_size=5))
async def test_pages_have_each_entry_once_while_the_list_grows(count: int, first: int, added: list[int]) -> None:
    log = Log(count)
    seen: list[int] = []
    after = None
    for more in [*added, *[0] * 41]:
        page = await log.page(first, after)
        assert [edge.node for edge in page.edges] == list(page.nodes)
        seen += [entry.id for entry in page.nodes]
        if not page.page_info.has_next_page:
            break
        after = page.page_info.end_cursor
        log.add(more)
    assert seen == list(reversed(range(count)))


async def test_a_page_says_where_it_is() -> None:
    log = Log(5)
    page = await log.page(2)
    info = page.page_info
    assert (info.has_next_page, info.has_previous_page, page.total) == (True, False, 7)
    assert (info.start_cursor, info.end_cursor) == (page.edges[0].cursor, page.edges[1].cursor)
    last = (await log.page(3, info.end_cursor)).page_info
    assert (last.has_next_page, last.has_previous_page) == (False, True)
    empty = (await Log(0).page(3)).page_info
    assert (empty.has_next_page, empty.start_cursor, empty.end_cursor) == (False, None, None)


async def test_no_more_is_read_than_a_page_needs() -> None:
    log = Log(20_000)
    page = await log.page(10)
    assert log.asked == [11]
    await log.page(10, page.page_info.end_cursor)
    assert log.asked[1:] == [9 + 10 + 200]
    log.add(500)
    await log.page(10, page.page_info.end_cursor)
    assert log.asked[2:] == [219, LIST_LIMIT]


async def test_a_cursor_of_an_entry_that_is_gone_is_refused() -> None:
    log = Log(5)
    page = await log.page(2)
    log.entries = log.entries[3:]
    with pytest.raises(BadInput, match="not in the list any more"):
        await log.page(2, page.page_info.end_cursor)


@pytest.mark.parametrize("cursor", ["?", "é", "MQ==", "LTE6eA==", "OTk5OTk5OTk5OTk6eA==", "\x00", "gICA"])
async def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadInput, match="is not a cursor"):
        await Log(5).page(2, cursor)


@pytest.mark.parametrize("first", [0, -1, PAGE_LIMIT + 1])
async def test_a_page_has_limits(first: int) -> None:
    with pytest.raises(BadInput, match=f"1 to {PAGE_LIMIT}"):
        await Log(5).page(first)
