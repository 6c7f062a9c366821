"""Merging of messages from many sources into one list, in order and without duplicates.

Owns the order (time, node, id), the rule for duplicates, and how far each source is read ahead: a small page at first,
larger ones from a source that is exhausted sooner than the others. This module does not depend on links or tables.
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
#: characters of all texts in one answer; the first message is always in it
ANSWER_CHARACTERS = 8 * 1024 * 1024


class Source(ABC):
    """A source of messages in order, with those that were read ahead."""

    def __init__(self) -> None:
        self._ahead: deque[NodeMessage] = deque()
        self._more = True
        self._limit = FIRST_MESSAGES

    @abstractmethod
    async def read(self, limit: int) -> tuple[Sequence[NodeMessage], bool]:
        """Return the next messages, at most `limit`, and whether there may be more after them."""

    @abstractmethod
    def taken(self, message: NodeMessage) -> None:
        """Record that the answer contains this message or its duplicate: the next answer starts after it."""

    @property
    def head(self) -> NodeMessage | None:
        """Return the next message. Call `fill` first."""
        return self._ahead[0] if self._ahead else None

    @property
    def exhausted(self) -> bool:
        """Return whether the source has no more messages."""
        return not self._ahead and not self._more

    async def fill(self, most: int) -> None:
        """Read ahead if no message is waiting."""
        while self._more and not self._ahead:
            found, self._more = await self.read(min(self._limit, most))
            self._ahead.extend(found)
            self._limit *= 4

    def start_with(self, limit: int) -> None:
        """Set the size of the first page, in messages."""
        self._limit = limit

    def take(self) -> NodeMessage:
        """Remove the head and return it."""
        message = self._ahead.popleft()
        self.taken(message)
        return message


#: the key of a source's head, negated where the newest come first, and the index of the source
_Entry = tuple[tuple[int, ...], int]


async def merge(sources: Sequence[Source], *, limit: int, newest_first: bool) -> tuple[list[NodeMessage], bool]:
    """Return the next `limit` messages of all sources, and whether there are more.

    Of duplicates, the one of the earlier source in `sources` is kept.
    """
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
