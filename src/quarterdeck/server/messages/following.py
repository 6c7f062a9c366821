"""Following messages of several nodes: each is asked again and again for what is new, behind its own cursor.

What a node says goes into one short queue; while nobody takes it out, no node is asked for more. A node that goes away
is waited for, and its messages of meanwhile come when it is back. Owns the cursors of one follower, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from quarterdeck.model.errors import Forbidden, QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.messages import PAGE_MESSAGES, Message, MessageFilter, MessagePage, NodeMessage
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.messages import cursors as tokens
from quarterdeck.server.messages.cursors import Reached

#: how long a node's answer may wait for a message; then it is asked again
WAIT_S = 25.0
#: how often it is looked whether a node is back, and how long it is left alone after it failed
AWAY_S = 1.0
#: how often it is looked whether there are more nodes to follow
LOOK_S = 10.0
#: pages that wait for the follower
_PAGES = 4

log = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads one node's messages."""

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage: ...


class Presence(Protocol):
    """Knows which nodes are connected."""

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]: ...


class Followed(NamedTuple):
    """What one node printed, or why it says nothing; and the token to go on after it."""

    messages: tuple[NodeMessage, ...]
    problems: tuple[str, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Start:
    """What is followed: of which nodes, from where on. A node without a cursor is read from `since_ms` on."""

    wanted: MessageFilter
    since_ms: int
    names: Mapping[NodeKey, str]
    cursors: Mapping[NodeKey, str]


class _Said(NamedTuple):
    key: NodeKey
    cursor: str
    messages: tuple[Message, ...] = ()
    problems: tuple[str, ...] = ()


#: the nodes that are to be followed now
Look = Callable[[], Awaitable[Mapping[NodeKey, str]]]


async def follow(reader: Reader, presence: Presence, start: Start, look: Look) -> AsyncGenerator[Followed]:
    """Until it is closed: what the nodes say, in the order in which it comes. Nodes that join are followed too."""
    cursors = {key: start.cursors[key] for key in start.names if key in start.cursors}
    said = asyncio.Queue[_Said](_PAGES)
    names: dict[NodeKey, str] = {}
    tasks: list[asyncio.Task[None]] = []

    def begin(wanted: Mapping[NodeKey, str]) -> None:
        for key in wanted.keys() - names.keys():
            names[key] = wanted[key]
            pump = _Pump(reader, presence, start, key, said=said, name=names[key])
            tasks.append(asyncio.create_task(pump.run(), name=f"messages of {names[key]}"))

    begin(start.names)
    tasks.append(asyncio.create_task(_look(look, begin), name="nodes to follow"))
    try:
        while True:
            key, cursor, messages, problems = await said.get()
            if cursor:
                cursors[key] = cursor
            if messages or problems:
                named = tuple(of_node(message, key, names[key]) for message in messages)
                yield Followed(named, problems, _token(start, cursors))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _look(look: Look, begin: Callable[[Mapping[NodeKey, str]], None]) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            begin(await look())
        except QuarterdeckError as error:
            log.warning("which nodes to follow cannot be found out now; it is tried again: %s", error)


class _Pump:
    """Reads one node for ever, and says what it finds."""

    def __init__(
        self,
        reader: Reader,
        presence: Presence,
        start: Start,
        key: NodeKey,
        *,
        said: asyncio.Queue[_Said],
        name: str,
    ) -> None:
        self._reader = reader
        self._presence = presence
        self._key = key
        self._name = name
        self._said = said
        self._cursor = start.cursors.get(key, "")
        since = start.wanted.time_from
        if not self._cursor:
            since = max(start.since_ms, -math.inf if since is None else since)
        self._wanted = msgspec.structs.replace(
            start.wanted,
            time_from=None if since is None else int(since),
            limit=PAGE_MESSAGES,
            newest_first=False,
        )
        self._complaints: frozenset[str] = frozenset()

    async def run(self) -> None:
        while True:
            try:
                page = await self._reader.read(
                    self._key, msgspec.structs.replace(self._wanted, cursor=self._cursor), WAIT_S
                )
            except (Unavailable, TimedOut) as error:
                await self._complain(self._why(error))
                await self._until_back()
            except QuarterdeckError as error:  # it will not say anything else the next time
                await self._complain(f"{self._name}: {trouble(error)}")
                return
            else:
                self._cursor = page.cursor or page.resume
                fresh = tuple(f"{self._name}: {each}" for each in page.problems if each not in self._complaints)
                self._complaints = frozenset(page.problems)
                await self._said.put(_Said(self._key, self._cursor, page.messages, fresh))

    def _why(self, error: QuarterdeckError) -> str:
        if isinstance(error, TimedOut):
            return f"{self._name}: {trouble(error)}"
        return f"{self._name} is offline; what it has is shown when it is back."

    async def _complain(self, words: str) -> None:
        """Say it, once for each time that it begins."""
        if words not in self._complaints:
            self._complaints = frozenset((words,))
            await self._said.put(_Said(self._key, "", problems=(words,)))

    async def _until_back(self) -> None:
        await asyncio.sleep(AWAY_S)
        while not self._presence.here((self._key,)):  # noqa: ASYNC110 (another server may have it; there is no event)
            await asyncio.sleep(AWAY_S)


def of_node(message: Message, key: NodeKey, name: str) -> NodeMessage:
    """The message with the node that has it."""
    return NodeMessage(  # each field by its name: this is done for every message of an answer
        id=message.id,
        job_id=message.job_id,
        domain=message.domain,
        name=message.name,
        epoch=message.epoch,
        level=message.level,
        data=message.data,
        marks=message.marks,
        raw=message.raw,
        place=message.place,
        gid=key.gid,
        nid=key.nid,
        node=name,
    )


def trouble(error: QuarterdeckError) -> str:
    """Why a node does not answer, in words."""
    if isinstance(error, Forbidden | TimedOut | Unavailable):
        return str(error)
    return f"It could not look: {error}"


def _token(start: Start, cursors: Mapping[NodeKey, str]) -> str:
    return tokens.write(
        Reached(
            newest_first=False,
            since_ms=start.since_ms,
            nodes=tuple((key.gid, key.nid, int(cursor)) for key, cursor in cursors.items()),
        )
    )
