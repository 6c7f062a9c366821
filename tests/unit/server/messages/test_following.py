"""Followers get what each node prints, in its order, through offline times and from where another stopped."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import pytest

from quarterdeck.model.errors import Forbidden, QuarterdeckError, Unavailable
from quarterdeck.model.messages import Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.messages import cursors as tokens
from quarterdeck.server.messages.following import (
    _PAGES,  # pyright: ignore[reportPrivateUsage]
    BEHIND_S,
    Followed,
    Pace,
    Start,
    follow,
)
from tests.support import until

ONE, TWO = NodeKey(1, 1), NodeKey(1, 2)
NAMES = {ONE: "web-1", TWO: "web-2"}


class FakeNodes:
    """Nodes whose messages are lists; a place is the index behind a message."""

    def __init__(self) -> None:
        self.printed: dict[NodeKey, list[Message]] = {ONE: [], TWO: []}
        self.trouble: dict[NodeKey, QuarterdeckError] = {}
        self.problems: tuple[str, ...] = ()
        self.reads: list[tuple[NodeKey, MessageFilter]] = []
        self.waiting = 0
        self.names = dict(NAMES)
        self.store_away = False
        self._news = asyncio.Condition()

    async def print(self, key: NodeKey, *texts: str, at_ms: int = 1000) -> None:
        async with self._news:
            for text in texts:
                place = len(self.printed[key]) + 1
                self.printed[key].append(Message(id=place, job_id="j", epoch=at_ms, level=1, data=text, place=place))
            self._news.notify_all()

    async def change(self, key: NodeKey, trouble: QuarterdeckError | None) -> None:
        async with self._news:
            self.trouble.pop(key, None)
            if trouble is not None:
                self.trouble[key] = trouble
            self._news.notify_all()

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        assert wait_s > 0
        self.reads.append((key, wanted))
        async with self._news:
            while True:
                if key in self.trouble:
                    raise self.trouble[key]
                behind = self.printed[key][int(wanted.cursor or 0) :]
                new = tuple(each for each in behind if wanted.time_from is None or each.epoch >= wanted.time_from)
                if new or self.problems:
                    return MessagePage(messages=new[:3], resume=str(new[:3][-1].place), problems=self.problems)
                self.waiting += 1
                try:
                    await self._news.wait()
                finally:
                    self.waiting -= 1

    async def skip(self, key: NodeKey, wanted: MessageFilter) -> MessagePage:
        raise NotImplementedError

    async def look(self) -> Mapping[NodeKey, str]:
        if self.store_away:
            raise Unavailable("The state store is away.")
        return self.names

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]:
        return {key for key in keys if not isinstance(self.trouble.get(key), Unavailable)}


@asynccontextmanager
async def following(
    nodes: FakeNodes, token: str = "", since_ms: int = 0, clock: Callable[[], float] = time.time
) -> AsyncIterator[AsyncGenerator[Followed]]:
    cursors = tokens.read(token).cursors if token else {}
    start = Start(wanted=MessageFilter(), since_ms=since_ms, names=NAMES, cursors=cursors)
    stream = follow(nodes, nodes, start, nodes.look, pace=Pace(away_s=0.01, look_s=0.01, clock=clock))
    try:
        yield stream
    finally:
        await stream.aclose()
    await until(lambda: nodes.waiting == 0)


async def texts(stream: AsyncIterator[Followed], count: int) -> tuple[list[str], str]:
    """The next texts after their nodes' names, and the last token."""
    found: list[str] = []
    token = ""
    while len(found) < count:
        said = await anext(stream)
        found += [f"{message.node}: {message.data}" for message in said.messages] + list(said.problems)
        token = said.token
    return found, token


async def test_what_every_node_prints_comes_with_the_nodes_name() -> None:
    nodes = FakeNodes()
    async with following(nodes) as stream:
        await nodes.print(ONE, "a", "b")
        await nodes.print(TWO, "c")
        found, _ = await texts(stream, 3)
        assert sorted(found) == ["web-1: a", "web-1: b", "web-2: c"]
        await nodes.print(TWO, *(str(number) for number in range(10)))
        found, _ = await texts(stream, 10)
        assert found == [f"web-2: {number}" for number in range(10)]


async def test_a_follower_goes_on_from_a_token_without_a_gap_and_without_repeats() -> None:
    nodes = FakeNodes()
    async with following(nodes) as stream:
        await nodes.print(ONE, "a", "b")
        await nodes.print(TWO, "c")
        _, token = await texts(stream, 3)
    await nodes.print(ONE, "d")
    async with following(nodes, token) as stream:
        assert (await texts(stream, 1))[0] == ["web-1: d"]
        await nodes.print(TWO, "e")
        assert (await texts(stream, 1))[0] == ["web-2: e"]


class FloodedNode(FakeNodes):
    """Has a thousand messages for each second of its life, which goes by as it is read: faster than these come."""

    def __init__(self, clock: FakeClock, *, seconds_a_page: float, ends_at: float = math.inf) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds_a_page
        self._ends_at = ends_at

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        if key == TWO:
            return await super().read(key, wanted, wait_s)
        await asyncio.sleep(0)
        self._clock.now += self._seconds
        begin = int(wanted.cursor or 0) + 1
        newest = int(min(self._clock.now, self._ends_at) * 1000)
        found = range(begin, min(begin + wanted.limit, newest + 1))
        end = found[-1] if found else newest
        return MessagePage(
            messages=tuple(map(self._message, found)), cursor=str(end) if end < newest else None, resume=str(end)
        )

    async def skip(self, key: NodeKey, wanted: MessageFilter) -> MessagePage:
        self._clock.now += self._seconds
        newest = int(min(self._clock.now, self._ends_at) * 1000)
        behind = int(wanted.cursor or 0)
        begin = max(behind, newest - wanted.limit)
        found = range(begin + 1, newest + 1)
        return MessagePage(messages=tuple(map(self._message, found)), resume=str(newest), left_out=begin - behind)

    def _message(self, at: int) -> Message:
        return Message(id=at, job_id="j", epoch=at, level=1, data=f"{at}", place=at)


class FakeClock:
    def __init__(self) -> None:
        self.now = 1.0

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize("ahead_s", [0, -3600, 3600])  # of the node's clock
async def test_a_follower_that_falls_behind_is_taken_to_the_newest_and_told_how_much_it_missed(
    ahead_s: int,
) -> None:
    clock = FakeClock()
    nodes = FloodedNode(clock, seconds_a_page=1.5)
    async with following(nodes, clock=lambda: clock.now - ahead_s) as stream:
        place = skipped = 0
        while skipped < 3:
            said = await anext(stream)
            first = said.messages[0].place
            missed = first - place - 1
            if missed:
                skipped += 1
                assert f": {missed:,} lines are left out after" in said.problems[0]
            else:
                assert not said.problems
            place = said.messages[-1].place
            assert clock.now - place / 1000 < 10 * BEHIND_S, "pages wait for the follower, not more"


@pytest.mark.parametrize("seconds_a_page", [0.5, 0.9])
async def test_who_catches_up_misses_nothing_however_much_there_is(
    seconds_a_page: float,
) -> None:
    clock = FakeClock()
    clock.now = 100.0  # a hundred pages are there
    async with following(FloodedNode(clock, seconds_a_page=seconds_a_page, ends_at=150.0), clock=clock.time) as stream:
        place = 0
        while place < 150_000:
            said = await anext(stream)
            assert not said.problems
            assert said.messages[0].place == place + 1
            place = said.messages[-1].place


@pytest.mark.parametrize("seconds_a_page", [0.5, 1.1, 1.5, 3.0])
async def test_of_a_flood_that_ended_the_end_is_shown_and_all_else_is_shown_or_counted(
    seconds_a_page: float,
) -> None:
    clock = FakeClock()
    async with following(FloodedNode(clock, seconds_a_page=seconds_a_page, ends_at=20.0), clock=clock.time) as stream:
        place = shown = left_out = 0
        while place < 20_000:
            said = await anext(stream)
            left_out += sum(int(each.split(": ")[2].split()[0].replace(",", "")) for each in said.problems)
            shown += len(said.messages)
            place = said.messages[-1].place
    assert shown + left_out == 20_000
    assert bool(left_out) == (seconds_a_page > 1)


async def test_a_node_that_is_away_is_said_once_and_its_messages_come_when_it_is_back() -> None:
    nodes = FakeNodes()
    await nodes.change(TWO, Unavailable("gone"))
    async with following(nodes) as stream:
        found, _ = await texts(stream, 1)
        assert found == ["web-2 is offline; its messages are shown when it is back."]
        await nodes.print(TWO, "meanwhile")
        await nodes.print(ONE, "a")
        assert (await texts(stream, 1))[0] == ["web-1: a"]
        await nodes.change(TWO, None)
        assert (await texts(stream, 1))[0] == ["web-2: meanwhile"]
        await nodes.change(TWO, Unavailable("gone again"))
        assert len((await texts(stream, 1))[0]) == 1


async def test_a_node_without_a_cursor_is_followed_from_the_time_of_the_beginning() -> None:
    nodes = FakeNodes()
    await nodes.print(ONE, "long ago", at_ms=5)
    await nodes.print(ONE, "since", at_ms=70)
    async with following(nodes, since_ms=50) as stream:
        assert (await texts(stream, 1))[0] == ["web-1: since"]


async def test_a_node_that_refuses_is_said_and_not_asked_again() -> None:
    nodes = FakeNodes()
    await nodes.change(ONE, Forbidden("It has no get_msgs."))
    async with following(nodes) as stream:
        assert (await texts(stream, 1))[0] == ["web-1: It has no get_msgs."]
        await nodes.print(TWO, "a")
        assert (await texts(stream, 1))[0] == ["web-2: a"]
    assert [key for key, _ in nodes.reads].count(ONE) == 1


async def test_a_problem_that_lasts_is_said_once() -> None:
    nodes = FakeNodes()
    nodes.problems = ("a file was damaged.",)
    await nodes.print(ONE, *"abcdefghi")
    await nodes.change(TWO, Forbidden("no."))
    async with following(nodes) as stream:
        found, _ = await texts(stream, 11)
    assert found.count("web-1: a file was damaged.") == 1


async def test_while_nobody_reads_no_node_is_asked_for_more() -> None:
    nodes = FakeNodes()
    await nodes.print(ONE, *(str(number) for number in range(300)))
    async with following(nodes) as stream:
        assert len((await texts(stream, 3))[0]) == 3
        for _ in range(100):
            await asyncio.sleep(0)
        asked = [key for key, _ in nodes.reads].count(ONE)
        assert asked <= 3 + _PAGES
        found, _ = await texts(stream, 297)
    assert found == [f"web-1: {number}" for number in range(3, 300)]


async def test_a_node_that_joins_is_followed_too() -> None:
    nodes = FakeNodes()
    nodes.store_away = True
    async with following(nodes, since_ms=50) as stream:
        await nodes.print(ONE, "a", at_ms=60)
        assert (await texts(stream, 1))[0] == ["web-1: a"]
        three = NodeKey(1, 3)
        nodes.printed[three] = []
        await nodes.print(three, "before anybody followed", at_ms=5)
        await nodes.print(three, "its first", at_ms=70)
        nodes.names[three] = "web-3"
        nodes.store_away = False
        found, token = await texts(stream, 1)
        assert found == ["web-3: its first"]
    assert tokens.read(token).cursors[three] == "2"
