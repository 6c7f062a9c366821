"""How far a process was read: stored with its messages, so that the agent's next life misses and repeats nothing.

What the keeper tells is acknowledged when the messages made of it are stored; an unfinished line is in no message yet.
So the parsers' state is stored too, in the same transaction, with the number of the record up to which it goes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from quarterdeck.agent.messages.lines import ParserState
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.processes.client import Child
from quarterdeck.model.messages import PAGE_MESSAGES, Message, MessageFilter
from quarterdeck.model.struct import Wire


class Reading(Wire, frozen=True, kw_only=True):
    """Of one run of a process."""

    began: float  #: of the run, as the keeper says
    seq: int  #: the last of the keeper's records that was taken
    parsers: tuple[ParserState, ParserState]  #: of standard output and standard error
    heard: tuple[int, int] = (0, 0)  #: bytes of both that were told until then
    messages: int = 0  #: of this run that are kept; a clock that was set back says not which these are

    def packed(self) -> bytes:
        """To be stored."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpacked(cls, stored: bytes) -> Reading | None:
        """As it was stored; None when that is damaged: then what was not acknowledged is read again."""
        try:
            return msgspec.msgpack.decode(stored, type=cls)
        except msgspec.DecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier life read of a process: how far, and the last messages of it, oldest first."""

    reading: Reading
    messages: list[Message]


async def recall(log: MessageLog, children: Collection[Child]) -> dict[str, Past]:
    """The past of those of which something was stored, by id."""
    stored = await log.readings() if children else {}
    pasts: dict[str, Past] = {}
    for child in children:
        reading = Reading.unpacked(stored[child.id]) if child.id in stored else None
        if reading is not None and reading.began == child.began:
            pasts[child.id] = Past(reading, await _last(log, child.id, min(reading.messages, PAGE_MESSAGES)))
    return pasts


async def _last(log: MessageLog, process_id: str, count: int) -> list[Message]:
    """The newest messages of a process, oldest first."""
    if not count:
        return []
    page = await log.select(MessageFilter(job_id=process_id, newest_first=True, limit=count))
    return list(reversed(page.messages))
