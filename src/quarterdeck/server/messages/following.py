"""Following messages of several nodes: each node is asked repeatedly for new messages after its own cursor.

Messages go into one short queue; while it is full, no node is asked for more. When a node goes offline, its messages
are sent after it reconnects. When a node prints faster than its follower reads, some messages are skipped and their
number is reported: a follower sees current messages, and no program is slowed down for it. Owns the cursors of one
follower. It never stores messages.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from quarterdeck.kit.tasks import cancel, keep
from quarterdeck.model.errors import Forbidden, QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.messages import PAGE_MESSAGES, Message, MessageFilter, MessagePage, NodeMessage
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.messages import cursors as tokens
from quarterdeck.server.messages.cursors import Reached

#: how long a node may wait for a message before it answers; then it is asked again
WAIT_S = 25.0
#: growth of the follower's lag, in seconds, at which it skips to the newest messages
BEHIND_S = 0.4
#: pages that wait for the follower
_PAGES = 2

log = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads one node's messages."""

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage: ...

    async def skip(self, key: NodeKey, wanted: MessageFilter) -> MessagePage: ...


class Presence(Protocol):
    """Tells which nodes are connected."""

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]: ...


class Followed(NamedTuple):
    """Messages of one node, or why there are none, and the token after them."""

    messages: tuple[NodeMessage, ...]
    problems: tuple[str, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Start:
    """The messages to follow: filter, nodes, and where to start. A node without a cursor starts at `since_ms`."""

    wanted: MessageFilter
    since_ms: int
    names: Mapping[NodeKey, str]
    cursors: Mapping[NodeKey, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The intervals of a follower, and the clock by which it notices that it falls behind."""

    #: interval of checking whether a node is back, and the pause after it failed
    away_s: float = 1.0
    #: interval of looking for further nodes to follow
    look_s: float = 10.0
    #: seconds since the epoch
    clock: Callable[[], float] = time.time


PACE = Pace()


class _Said(NamedTuple):
    key: NodeKey
    cursor: str
    messages: tuple[Message, ...] = ()
    problems: tuple[str, ...] = ()


#: returns the nodes to follow now
Look = Callable[[], Awaitable[Mapping[NodeKey, str]]]


async def follow(
    reader: Reader, presence: Presence, start: Start, look: Look, *, pace: Pace = PACE
) -> AsyncGenerator[Followed]:
    """Yield messages of the nodes in the order of their arrival, until closed. Follow nodes that join later, too."""
    cursors = {key: start.cursors[key] for key in start.names if key in start.cursors}
    said = asyncio.Queue[_Said](_PAGES)
    names: dict[NodeKey, str] = {}
    tasks: list[asyncio.Task[None]] = []

    def begin(wanted: Mapping[NodeKey, str]) -> None:
        for key in wanted.keys() - names.keys():
            names[key] = wanted[key]
            pump = _Pump(reader, presence, start, key, said=said, name=names[key], pace=pace)
            tasks.append(asyncio.create_task(keep(f"messages of {names[key]}", pump.run, once=True)))

    begin(start.names)
    tasks.append(asyncio.create_task(keep("nodes to follow", partial(_look, look, begin, interval_s=pace.look_s))))
    try:
        while True:
            key, cursor, messages, problems = await said.get()
            if cursor:
                cursors[key] = cursor
            if messages or problems:
                named = tuple(of_node(message, key, names[key]) for message in messages)
                yield Followed(named, problems, _token(start, cursors))
    finally:
        await cancel(*tasks)


async def _look(look: Look, begin: Callable[[Mapping[NodeKey, str]], None], *, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        try:
            begin(await look())
        except QuarterdeckError as error:
            log.warning("the nodes to follow cannot be read now; it will be retried: %s", error)


class _Pump:
    """Reads one node until cancelled, and puts what it finds into the queue."""

    def __init__(
        self,
        reader: Reader,
        presence: Presence,
        start: Start,
        key: NodeKey,
        *,
        said: asyncio.Queue[_Said],
        name: str,
        pace: Pace,
    ) -> None:
        self._reader = reader
        self._presence = presence
        self._key = key
        self._name = name
        self._said = said
        self._away_s = pace.away_s
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
        self._complaints: frozenset[str] = frozenset(("",))
        self._lag = _Lag(pace.clock)

    async def run(self) -> None:
        while True:
            try:
                page = await self._reader.read(
                    self._key, msgspec.structs.replace(self._wanted, cursor=self._cursor), WAIT_S
                )
            except (Unavailable, TimedOut) as error:
                await self._complain(self._why(error))
                await self._until_back()
            except QuarterdeckError as error:  # a repeat would get the same error
                await self._complain(f"{self._name}: {trouble(error)}")
                return
            else:
                await self._say(page)
                if page.messages and self._lag.grown:
                    await self._skip(page.messages[-1])

    async def _say(self, page: MessagePage, skipped: str = "") -> None:
        """Pass on a page, with the problems that were not in the page before."""
        problems = tuple(f"{self._name}: {each}" for each in (skipped, *page.problems) if each not in self._complaints)
        self._complaints = frozenset(("", *page.problems))
        self._cursor = page.cursor or page.resume
        self._lag.read(page)
        await self._said.put(_Said(self._key, self._cursor, page.messages, problems))

    async def _skip(self, last: Message) -> None:
        """Continue with the newest messages, and report how many are left out."""
        try:
            page = await self._reader.skip(self._key, msgspec.structs.replace(self._wanted, cursor=self._cursor))
        except QuarterdeckError as error:
            log.debug("%s is not followed from its newest message on: %s", self._name, error)
            return  # the next read reports the reason
        lines = "1 line is" if page.left_out == 1 else f"{page.left_out:,} lines are"
        words = (
            f"it prints faster than this is read: {lines} left out after {utc(last.epoch / 1000)}; the node has them."
        )
        await self._say(page, words if page.left_out else "")

    def _why(self, error: QuarterdeckError) -> str:
        if isinstance(error, TimedOut):
            return f"{self._name}: {trouble(error)}"
        return f"{self._name} is offline; its messages are shown when it is back."

    async def _complain(self, words: str) -> None:
        """Report a problem, once for each time that it begins."""
        if words not in self._complaints:
            self._complaints = frozenset(("", words))
            await self._said.put(_Said(self._key, "", problems=(words,)))

    async def _until_back(self) -> None:
        await asyncio.sleep(self._away_s)
        while not self._presence.here((self._key,)):  # noqa: ASYNC110 (it may connect to another server: no event exists)
            await asyncio.sleep(self._away_s)


class _Lag:
    """The lag of a follower behind a node. Only its growth counts, so that an error of the node's clock is harmless."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._least_s = math.inf
        self._newest_ms = 0

    def read(self, page: MessagePage) -> None:
        """Record that this page was read just now."""
        if page.messages:
            self._newest_ms = page.messages[-1].epoch
            newest_of_all = page.cursor is None
            self._least_s = self._now_s if newest_of_all else min(self._least_s, self._now_s)

    @property
    def grown(self) -> bool:
        """Return whether the lag has grown by more than `BEHIND_S`."""
        return self._now_s - self._least_s > BEHIND_S

    @property
    def _now_s(self) -> float:
        return self._clock() - self._newest_ms / 1000


def of_node(message: Message, key: NodeKey, name: str) -> NodeMessage:
    """Return the message with its node."""
    return NodeMessage(  # field by field, which is fast: this runs for every message of an answer
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
    """Return a sentence about why a node does not answer."""
    if isinstance(error, Forbidden | TimedOut | Unavailable):
        return str(error)
    return f"It could not read its messages: {error}"


def _token(start: Start, cursors: Mapping[NodeKey, str]) -> str:
    return tokens.write(
        Reached(
            newest_first=False,
            since_ms=start.since_ms,
            nodes=tuple((key.gid, key.nid, int(cursor)) for key, cursor in cursors.items()),
        )
    )
