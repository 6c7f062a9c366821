"""Messages from many sources as one list: each gives pages in its own order, and what two of them have comes once.

Owns the order (time, node, id), what is a duplicate, and how much is read ahead of each source: little of each
while there are many, more of one that turns out to have most. Knows nothing of links and tables.
"""

from __future__ import annotations

import asyncio
import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from quarterdeck.model.messages import NodeMessage
from quarterdeck.store.telemetry.messages import RowPlace, place_of

#: messages of a source's first page, when there are many sources
FIRST_MESSAGES = 16
#: texts of one answer, in characters; the first message is in it however long it is
ANSWER_CHARACTERS = 8 * 1024 * 1024


class Source(ABC):
    """Where messages are, in an order. Keeps those that were read ahead."""

    def __init__(self) -> None:
        self._ahead: deque[NodeMessage] = deque()
        self._more = True
        self._limit = FIRST_MESSAGES

    @abstractmethod
    async def read(self, limit: int) -> tuple[Sequence[NodeMessage], bool]:
        """The next messages, `limit` at most, and whether there may be more behind them."""

    @abstractmethod
    def taken(self, message: NodeMessage) -> None:
        """This one is in the answer, or was found to be there already: the next answer begins behind it."""

    @property
    def head(self) -> NodeMessage | None:
        """The next message, after `fill`."""
        return self._ahead[0] if self._ahead else None

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing more."""
        return not self._ahead and not self._more

    async def fill(self, most: int) -> None:
        """Read ahead, unless something is."""
        while self._more and not self._ahead:
            found, self._more = await self.read(min(self._limit, most))
            self._ahead.extend(found)
            self._limit *= 4

    def start_with(self, limit: int) -> None:
        """How many messages the first page has."""
        self._limit = limit

    def take(self) -> NodeMessage:
        """The head, which is then another."""
        message = self._ahead.popleft()
        self.taken(message)
        return message


#: the key of a source's head, turned round where the newest come first, and which source it is
_Entry = tuple[tuple[int, ...], int]


async def merge(sources: Sequence[Source], *, limit: int, newest_first: bool) -> tuple[list[NodeMessage], bool]:
    """The next `limit` messages of all sources, and whether there are more. Of duplicates that of the earlier one."""
    found: list[NodeMessage] = []
    seen: set[RowPlace] = set()
    size = 0
    for source in sources:
        source.start_with(max(FIRST_MESSAGES, min(limit, 2 * limit // max(1, len(sources)))))
    await asyncio.gather(*(source.fill(limit) for source in sources))
    heads = ((source.head, number) for number, source in enumerate(sources))
    heap = [_entry(head, number, newest_first=newest_first) for head, number in heads if head is not None]
    heapq.heapify(heap)
    while heap:
        number = heap[0][1]
        source = sources[number]
        head = source.head
        assert head is not None
        who = place_of(head)
        if who not in seen:
            size += len(head.data)
            if len(found) == limit or (found and size > ANSWER_CHARACTERS):
                return found, True
            found.append(head)
            seen.add(who)
        source.take()
        if source.head is None:
            await source.fill(limit)
        if source.head is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, _entry(source.head, number, newest_first=newest_first))
    return found, False


def _entry(head: NodeMessage, number: int, *, newest_first: bool) -> _Entry:
    if newest_first:
        return (-head.epoch, -head.gid, -head.nid, -head.id), number
    return (head.epoch, head.gid, head.nid, head.id), number
