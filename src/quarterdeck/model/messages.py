"""Messages: the items of output of a process, each with a level; the levels, sets of levels, and message filters.

The requirement document defines the levels and their numbers. A program marks a line with `LEVEL::` in front; a line
without a mark has the level of its stream. Times are milliseconds since the epoch by the node's clock, as in jobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Annotated, Self, cast

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import FEW, Data, Name, Output, Struct, Text, Texts, Wire
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table

#: the most messages that one answer holds
PAGE_MESSAGES = 1000


class Level(IntEnum):
    """The level of a message. 50, and 100 and above, are reserved for the agent: a program cannot use them."""

    STDOUT = 1
    STDERR = 2
    PUBLIC = 3  #: for end users
    OPERATOR = 4  #: for operators
    LOG = 5  #: unstructured
    STRUCTURED_LOG = 6
    WARNING = 7
    OPS_ERROR = 8
    CRITICAL = 9
    STATSD = 10  #: one or more statsd samples
    DEBUG = 11
    RESULT_JSON = 20
    RESULT_YAML = 21
    RESULT_TOML = 22
    RESULT_HRD = 23
    JOB_JSON = 30  #: the full result of a job


#: a line `101::PID` requests that this process is measured too
METER_LEVEL = 101
#: a job returns its last message of one of these levels
RESULT_LEVELS = (Level.RESULT_JSON, Level.RESULT_YAML, Level.RESULT_TOML, Level.RESULT_HRD, Level.JOB_JSON)

_LAST = max(Level)
_RANGE = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")
_FORMS = "Write '*', a level (7), some (1,2,7), a range (1-5), or these together (1-5,9); levels are 1 to 30."


class Mark(IntFlag):
    """Flags of a message that record how its line ended, so that the stream can be reproduced exactly."""

    CONTINUES = 1  #: without a line end: the text continues in the stream's next message, or the stream ended here
    CRLF = 2  #: its line ended with a carriage return and a newline, not only a newline
    UNTERMINATED = 4  #: a block without an end mark


@dataclass(frozen=True, slots=True)
class Levels:
    """A set of levels, as `loglevels` and filters write them."""

    numbers: frozenset[int]

    @classmethod
    def parse(cls, written: object) -> Self:
        """Return the levels of `*`, `7`, `1,2`, `1-5`, a mix, or a list of numbers; "" and [] are the empty set.

        Raise `BadInput` for anything else.
        """
        if isinstance(written, str):
            parts = [part for part in written.split(",") if written.strip()]
            return cls(frozenset(number for part in parts for number in _part(part, written)))
        if isinstance(written, int):
            return cls(frozenset(_numbers(written, written, written)))
        if isinstance(written, list | tuple):
            return cls(frozenset(_one(each, cast("object", written)) for each in cast("Iterable[object]", written)))
        raise BadInput(f"{written!r} is not a set of levels.", hint=_FORMS)

    def __contains__(self, level: object) -> bool:
        return level in self.numbers

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def __str__(self) -> str:
        """Return the shortest form that `parse` reads."""
        if self.numbers >= _EVERY.numbers:
            return "*"
        return ",".join(_spans(sorted(self.numbers)))


def _part(part: str, whole: str) -> Iterable[int]:
    if part.strip() == "*":
        return _EVERY.numbers
    match = _RANGE.fullmatch(part)
    if match is None:
        raise BadInput(f"'{part.strip()}' in the levels '{whole}' is neither a level nor a range.", hint=_FORMS)
    first = int(match[1])
    return _numbers(first, int(match[2] or first), whole)


def _one(number: object, whole: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise BadInput(f"{number!r} in the levels {whole!r} is not a number.", hint=_FORMS)
    return _numbers(number, number, whole)[0]


def _numbers(first: int, last: int, whole: object) -> range:
    if not 1 <= first <= last <= _LAST:
        what = f"{first} is not a level" if first == last else f"{first}-{last} is not a range of levels"
        raise BadInput(f"{what}, in {whole!r}.", hint=_FORMS)
    return range(first, last + 1)


def _spans(numbers: list[int]) -> Iterator[str]:
    """Yield the ranges of sorted numbers: `1-3` for 1, 2, 3."""
    first = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            yield str(number) if numbers[first] == number else f"{numbers[first]}-{number}"
            first = place + 1


_EVERY = Levels(frozenset(range(1, _LAST + 1)))
#: levels as a user or a program writes them; `Levels.parse` reads them
LevelsWritten = str | int | tuple[int, ...]


class LogLevels(Struct, frozen=True, kw_only=True):
    """The levels of a process' messages that are taken, kept and forwarded. Command arguments have the same names."""

    loglevels: LevelsWritten = "*"  #: levels that are taken; messages of other levels are discarded
    loglevels_db: LevelsWritten = "1-9,11,20-30"  #: of the taken levels, those that are stored on the node
    loglevels_ac: LevelsWritten = "3,4,7-9"  #: of the taken levels, those that are forwarded to the server


class Message(Wire, frozen=True, kw_only=True):
    """One message. `data` is its text, with U+FFFD for bytes that are not UTF-8; `raw` then has the exact bytes."""

    id: int  #: uint32, counted by the node over all its processes; wraps around after 2^32
    job_id: Name
    domain: Text = ""
    name: Text = ""
    epoch: int  #: when the agent read it, in milliseconds since the epoch
    level: int
    data: Output
    marks: int = 0  #: flags of `Mark`
    raw: Data = b""
    place: int = 0  #: its position in the node's store, which is the cursor after it; 0: not from the store


class MessageFilter(Struct, frozen=True, kw_only=True):
    """The messages to read or delete. All given fields must match; `limit` and `cursor` select the page."""

    job_id: str | None = None
    domain: str | None = None
    name: str | None = None
    time_from: int | None = None  #: milliseconds since the epoch, inclusive
    time_to: int | None = None  #: milliseconds since the epoch, exclusive
    levels: LevelsWritten = "*"
    text: str = ""  #: text that the message must contain; case-sensitive
    limit: int = PAGE_MESSAGES  #: 1 to PAGE_MESSAGES
    cursor: str = ""  #: cursor of the previous page, with the same filter
    newest_first: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_MESSAGES:
            raise BadInput(f"An answer holds 1 to {PAGE_MESSAGES} messages, not {self.limit}.")
        if self.cursor and not (self.cursor.isascii() and self.cursor.isdecimal() and len(self.cursor) < 19):
            raise BadInput(f"'{self.cursor}' is no cursor.", hint="Use the cursor of the previous page unchanged.")
        for time_ms in (self.time_from, self.time_to):
            if time_ms is not None and not -(2**63) <= time_ms < 2**63:
                raise BadInput(f"{time_ms} is not a time in milliseconds since the epoch.")
        Levels.parse(self.levels)


class MessagePage(Wire, frozen=True, kw_only=True):
    """One page of the matching messages, oldest or newest first."""

    messages: Annotated[tuple[Message, ...], FEW]
    cursor: Name | None = None  #: cursor of the next page; None: this is the last page
    resume: Name = ""  #: cursor after the last message that was read, oldest first, for later messages
    problems: Texts = ()  #: reasons why messages may be missing
    left_out: int = 0  #: matching messages that were skipped between the requested cursor and the first message


class DeletedMessages(Struct, frozen=True, kw_only=True):
    """The answer of `del_msgs`."""

    deleted: int


class NodeMessage(Message, frozen=True, kw_only=True):
    """A message, and the node whose process printed it."""

    gid: int
    nid: int
    node: str = ""  #: the node's name, or gid/nid if the node was removed


class FoundMessages(Wire, frozen=True, kw_only=True):
    """Messages of several nodes, both stored on the nodes and forwarded, each once.

    They are ordered by time and then by id, and those of one node in the order in which they were printed; or in the
    reverse order, newest first.
    """

    messages: tuple[NodeMessage, ...]
    cursor: str | None = None  #: cursor of the next page; None: this is the last page
    resume: str = ""  #: cursor from which later messages can be followed
    problems: tuple[str, ...] = ()  #: reasons why messages may be missing


MESSAGES_TABLE = Table(
    name="messages",
    description="Messages of processes whose levels are forwarded; the others stay on the node",
    retention_s=14 * 86400,
    order=("nid", "job_id", "time"),
    columns=(
        Column(
            name="time",
            type=ColumnType.TIMESTAMP,
            role=ColumnRole.TIME,
            description="when the agent read it, to the millisecond",
        ),
        Column(name="id", type=ColumnType.UINT32, description="counted by the node; orders messages of one time"),
        Column(name="job_id", type=ColumnType.STRING, description="the job whose process printed it"),
        Column(name="domain", type=ColumnType.STRING, description="the process' domain"),
        Column(name="name", type=ColumnType.STRING, description="the process' name in its domain"),
        Column(name="level", type=ColumnType.UINT8, description="1 stdout, 2 stderr, 7 warning, 9 critical …"),
        Column(name="marks", type=ColumnType.UINT8, description="1 continues in the next, 2 CRLF, 4 end mark missing"),
        Column(name="data", type=ColumnType.STRING, description="the text; bytes that are not UTF-8 as U+FFFD"),
    ),
)
