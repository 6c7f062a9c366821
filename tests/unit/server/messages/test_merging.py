"""Merged messages: in order, each once, page by page, whatever the sources and the size of pages."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.messages import NodeMessage
from quarterdeck.server.messages.merging import ANSWER_CHARACTERS, Source, merge
from quarterdeck.store.telemetry.messages import RowPlace, place_of


def message(epoch: int, id: int, nid: int = 1, data: str = "") -> NodeMessage:  # noqa: A002
    return NodeMessage(id=id, job_id="job", epoch=epoch, level=1, data=data, gid=1, nid=nid)


class Shelf(Source):
    """Messages in a list; knows how far it was read."""

    def __init__(self, messages: Sequence[NodeMessage]) -> None:
        super().__init__()
        self.messages = messages
        self.at = 0
        self.reached = 0
        self.asked: list[int] = []

    async def read(self, limit: int) -> tuple[Sequence[NodeMessage], bool]:
        self.asked.append(limit)
        found = self.messages[self.at : self.at + limit]
        self.at += len(found)
        return found, self.at < len(self.messages)

    def taken(self, message: NodeMessage) -> None:
        self.reached += 1


messages_of_a_node = st.lists(st.integers(0, 30), unique=True, max_size=40).map(sorted)


@given(
    nodes=st.lists(messages_of_a_node, min_size=1, max_size=5),
    forwarded=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 30))),
    limit=st.integers(1, 50),
    newest_first=st.booleans(),
)
async def test_pages_have_everything_once_and_in_order(
    nodes: list[list[int]], forwarded: set[tuple[int, int]], limit: int, newest_first: bool
) -> None:
    held = [[message(number // 3, number, nid) for number in numbers] for nid, numbers in enumerate(nodes)]
    table = [message(number // 3, number, nid) for nid, number in forwarded]
    every = [sorted(each, key=place_of, reverse=newest_first) for each in (*held, table)]
    rest, found = every, list[RowPlace]()
    while True:
        sources = [Shelf(each) for each in rest]
        page, more = await merge(sources, limit=limit, newest_first=newest_first)
        assert len(page) <= limit
        found += map(place_of, page)
        rest = [source.messages[source.reached :] for source in sources]
        if not more:
            break
        assert page
    expected = {place_of(each) for messages in every for each in messages}
    assert found == sorted(expected, reverse=newest_first)


async def test_of_two_that_are_the_same_that_of_the_earlier_source_is_taken() -> None:
    (found,), more = await merge(
        [Shelf([message(1, 1, data="whole")]), Shelf([message(1, 1, data="half")])], limit=10, newest_first=False
    )
    assert (found.data, more) == ("whole", False)


async def test_one_epoch_and_id_on_two_nodes_are_two_messages() -> None:
    found, _ = await merge([Shelf([message(1, 1, 1)]), Shelf([message(1, 1, 2)])], limit=10, newest_first=False)
    assert [each.nid for each in found] == [1, 2]


async def test_the_order_of_one_node_holds_though_its_clock_jumped_back() -> None:
    jumped = [message(9, 1), message(3, 2), message(4, 3)]
    found, _ = await merge([Shelf(jumped), Shelf([message(5, 1, 2)])], limit=10, newest_first=False)
    assert [each.id for each in found if each.nid == 1] == [1, 2, 3]


async def test_of_many_sources_little_is_read_ahead_and_more_of_one_that_has_most() -> None:
    sources = [Shelf([message(number, number, nid) for number in range(5)]) for nid in range(100)]
    rich = Shelf([message(number, number, 1000) for number in range(2000)])
    found, more = await merge([*sources, rich], limit=1000, newest_first=False)
    assert (len(found), more) == (1000, True)
    assert rich.asked[0] < 100
    assert len(rich.asked) < 6


async def test_an_answer_is_bounded_in_bytes_but_never_empty() -> None:
    source = Shelf([message(number, number, data="x" * (ANSWER_CHARACTERS * 3 // 5)) for number in range(3)])
    page, more = await merge([source], limit=10, newest_first=False)
    assert (len(page), more, source.reached) == (1, True, 1)
    page, more = await merge([Shelf([message(1, 1, data="x" * 2 * ANSWER_CHARACTERS)])], limit=10, newest_first=False)
    assert (len(page), more) == (1, False)
