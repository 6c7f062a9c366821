"""Conversations: the messages that a noun sends and takes over one link. Both halves of the link use this form.

A `Topic` is registered with its half and lives as long as that. It names the message types that it takes, and opens a
`Conversation` on each link. What is true of one connection only is kept in the conversation, everything else in the
topic. `Topics` is the table of a half's topics by message type, built once. Nothing here knows a message by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from functools import partial
from types import UnionType
from typing import Any, Generic, Protocol, TypeVar, get_args

import msgspec

from quarterdeck.kit.parts import Parts

MessageType = type[msgspec.Struct]


class Conversation(Protocol):
    """A topic's part in one link. By default it takes no messages and does nothing."""

    async def received(self, message: Any, /) -> None:
        """Handle a message of a type that the topic takes. The link reads no further until this returns."""
        raise TypeError(f"A {type(message).__name__} reached {type(self).__name__}, which takes no messages.")

    async def run(self) -> None:
        """Do what is to be done while the link is up; it may return early. An error ends the link.

        It is cancelled when the link ends.
        """


Link = TypeVar("Link")
Link_contra = TypeVar("Link_contra", contravariant=True)
Conversation_co = TypeVar("Conversation_co", bound=Conversation, covariant=True)


class Topic(Protocol[Link_contra, Conversation_co]):
    """The conversations of one half about one noun. `Link` is this half's view of a link: the peer, and how to send."""

    @property
    def takes(self) -> Collection[MessageType]:
        """Return the types of the messages that its conversations take."""
        ...

    def open(self, link: Link_contra, /) -> Conversation_co:
        """Begin a conversation on a new link."""
        ...


async def _nothing() -> None:
    pass


class Delegated(Conversation):
    """A conversation without a state of its own: its topic keeps what was received beyond the link."""

    def __init__(self, received: Callable[[Any], None], run: Callable[[], Awaitable[None]] = _nothing) -> None:
        self._received = received
        self._run = run

    async def received(self, message: Any, /) -> None:
        """Hand the message to the topic."""
        self._received(message)

    async def run(self) -> None:
        """Do what the topic does while a link is up."""
        await self._run()


class _Running(Conversation):
    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self._run = run

    async def run(self) -> None:
        await self._run()


class WhileLinked(Generic[Link]):
    """A topic that takes no messages: `run` is called with each new link and is cancelled when that ends."""

    takes: Collection[MessageType] = ()

    def __init__(self, run: Callable[[Link], Awaitable[None]]) -> None:
        self._run = run

    def open(self, link: Link) -> Conversation:
        """Begin on a new link."""
        return _Running(partial(self._run, link))


class Topics(Generic[Link]):
    """The topics of one half, by the messages that they take."""

    def __init__(self, topics: Iterable[Topic[Link, Conversation]], *, messages: Iterable[MessageType]) -> None:
        """Build the table. Raise `ValueError` unless each of `messages`, and no other type, is taken by one topic."""
        self._topics = tuple(topics)
        self._takers: dict[MessageType, Topic[Link, Conversation]] = {}
        expected = frozenset(messages)
        for topic in self._topics:
            for kind in topic.takes:
                if kind not in expected:
                    raise ValueError(f"{_named(topic)} takes {kind.__name__}, which this half never receives.")
                if kind in self._takers:
                    raise ValueError(f"{kind.__name__} is taken by {_named(self._takers[kind])} and {_named(topic)}.")
                self._takers[kind] = topic
        if missing := sorted(kind.__name__ for kind in expected - self._takers.keys()):
            raise ValueError(f"No topic takes {', '.join(missing)}. Register one that does.")

    def open(self, link: Link) -> Conversations[Link]:
        """Begin a conversation of every topic on a new link."""
        return Conversations({topic: topic.open(link) for topic in self._topics}, self._takers)


class Conversations(Generic[Link]):
    """The conversations of one link."""

    def __init__(
        self,
        opened: dict[Topic[Link, Conversation], Conversation],
        takers: dict[MessageType, Topic[Link, Conversation]],
    ) -> None:
        self._opened = opened
        self._takers = takers

    def of(self, topic: Topic[Link, Conversation]) -> Conversation:
        """Return the conversation that this topic opened."""
        return self._opened[topic]

    async def received(self, message: msgspec.Struct) -> None:
        """Hand a message to the conversation that takes its type."""
        await self._opened[self._takers[type(message)]].received(message)

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """Return the runs of all conversations, to be run together until the link ends."""
        return [_stay(conversation) for conversation in self._opened.values()]


class Assembly(Generic[Link]):
    """The parts and topics of one half of the link, in the order of registration."""

    def __init__(self) -> None:
        self.parts = Parts()
        self.topics: list[Topic[Link, Conversation]] = []


def types_of(union: UnionType, *, but: Collection[MessageType]) -> frozenset[MessageType]:
    """Return the message types of a tagged union, except `but`, which belong to the link itself."""
    return frozenset(get_args(union)) - frozenset(but)


async def _stay(conversation: Conversation) -> None:
    """Run a conversation, and do not let its end be taken for that of the link."""
    await conversation.run()
    await asyncio.Event().wait()


def _named(topic: Topic[Any, Any]) -> str:
    return type(topic).__name__
