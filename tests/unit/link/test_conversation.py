"""Topics and conversations: a new one needs only its registration; a wrong table is found at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from quarterdeck.kit.race import until_first
from quarterdeck.link.conversation import (
    Conversation,
    Delegated,
    MessageType,
    Topic,
    Topics,
    WhileLinked,
    types_of,
)
from tests.support import until


class Ping(msgspec.Struct):
    number: int


class Pong(msgspec.Struct):
    number: int


class Heard(msgspec.Struct):
    """A message that a topic keeps beyond the link."""

    text: str


class Link:
    """A half's view of a link in these tests: it records what is sent."""

    def __init__(self) -> None:
        self.sent: list[msgspec.Struct] = []

    async def send(self, message: msgspec.Struct) -> None:
        self.sent.append(message)


class Pings:
    """A new noun: answers each ping. It needs only this class and its place in the list of topics."""

    takes = (Ping,)

    def open(self, link: Link) -> Answering:
        return Answering(link)


class Answering(Conversation):
    def __init__(self, link: Link) -> None:
        self.link = link
        self.answered = 0  #: over this link

    async def received(self, message: Ping) -> None:
        self.answered += 1
        await self.link.send(Pong(message.number))


class Listening:
    """A topic whose messages are kept beyond the link."""

    takes = (Heard,)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def open(self, link: Link) -> Conversation:
        return Delegated(self._heard)

    def _heard(self, message: Heard) -> None:
        self.texts.append(message.text)


async def test_a_new_conversation_is_one_more_topic_in_the_list() -> None:
    pings, listening = Pings(), Listening()
    topics = Topics[Link]([listening, pings], messages={Ping, Heard})
    link = Link()
    conversations = topics.open(link)
    await conversations.received(Ping(7))
    await conversations.received(Heard("hello"))
    assert link.sent == [Pong(7)]
    assert listening.texts == ["hello"]


async def test_what_is_true_of_one_link_is_kept_apart_from_what_lives_longer() -> None:
    pings, listening = Pings(), Listening()
    topics = Topics[Link]([listening, pings], messages={Ping, Heard})
    links = [topics.open(Link()), topics.open(Link())]
    for conversations in links:
        await conversations.received(Ping(1))
        await conversations.received(Heard("again"))
    opened = [conversations.of(pings) for conversations in links]
    assert [each.answered for each in opened if isinstance(each, Answering)] == [1, 1]
    assert listening.texts == ["again", "again"]


async def test_conversations_run_until_the_link_ends_and_one_that_has_nothing_to_do_ends_nothing() -> None:
    async def greet(link: Link) -> None:
        await link.send(Pong(0))

    async def last(link: Link) -> None:
        await link.send(Pong(1))
        raise ConnectionError("the link broke")

    going_on = asyncio.Event()

    async def wait(link: Link) -> None:
        await going_on.wait()
        await last(link)

    link = Link()
    topics: list[Topic[Link, Conversation]] = [WhileLinked(greet), WhileLinked(wait), Pings()]
    running = asyncio.create_task(until_first(*Topics(topics, messages={Ping}).open(link).running()))
    await until(lambda: link.sent == [Pong(0)])
    await asyncio.sleep(0)
    assert not running.done()
    going_on.set()
    with pytest.raises(ConnectionError):
        await running


class Taking:
    def __init__(self, *kinds: MessageType) -> None:
        self.takes: Collection[MessageType] = kinds

    def open(self, link: Any) -> Conversation:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ([Taking(Ping), Taking(Pong, Ping)], "Ping is taken by Taking and Taking"),
        ([Taking(Ping)], "No topic takes Pong"),
        ([Taking(Ping, Pong), Taking(Heard)], "takes Heard, which this half never receives"),
    ],
    ids=["taken twice", "not taken", "never received"],
)
def test_a_wrong_table_is_found_when_it_is_built(topics: list[Taking], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Topics(topics, messages={Ping, Pong})


async def test_a_message_for_a_topic_that_takes_none_is_a_fault() -> None:
    class Quiet(Conversation):
        pass

    with pytest.raises(TypeError, match="Ping reached Quiet"):
        await Quiet().received(Ping(1))


def test_the_types_of_a_union_are_those_but_the_links_own() -> None:
    assert types_of(Ping | Pong | Heard, but=(Heard,)) == {Ping, Pong}
