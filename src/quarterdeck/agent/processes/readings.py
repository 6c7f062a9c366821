"""The position up to which a process was read, stored with its messages: the next agent misses and repeats nothing.

The keeper's reports are acknowledged when the messages made of them are stored, but an unfinished line is in no message
yet. Therefore the state of the parsers is stored too, in the same transaction, with the number of the last record that
it contains.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from quarterdeck.agent.keeper.messages import ChildStatus
from quarterdeck.agent.messages.lines import ParserState
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.model.messages import PAGE_MESSAGES, Message, MessageFilter
from quarterdeck.model.struct import Wire


class Reading(Wire, frozen=True, kw_only=True):
    """The position in one run of a process, and the state of its parsers."""

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
        """Return the stored reading; None if it is damaged: unacknowledged output is then read again."""
        try:
            return msgspec.msgpack.decode(stored, type=cls)
        except msgspec.DecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier agent's reading of a process: its position, and the last messages of the process, oldest first."""

    reading: Reading
    messages: list[Message]


async def recall(log: MessageLog, children: Collection[ChildStatus]) -> dict[str, Past]:
    """Return the stored state of the processes that have some, by id."""
    stored = await log.readings() if children else {}
    pasts: dict[str, Past] = {}
    for child in children:
        reading = Reading.unpacked(stored[child.id]) if child.id in stored else None
        if reading is not None and reading.began == child.began:
            pasts[child.id] = Past(reading, await _last(log, child.id, min(reading.messages, PAGE_MESSAGES)))
    return pasts


async def _last(log: MessageLog, process_id: str, count: int) -> list[Message]:
    """Return the newest messages of a process, oldest first."""
    if not count:
        return []
    page = await log.select(MessageFilter(job_id=process_id, newest_first=True, limit=count))
    return list(reversed(page.messages))
