"""Messages: one thing a process printed, with a level. What levels there are, sets of them, and how messages are found.

The levels and their numbers are the requirement document's. A program marks a line with `LEVEL::` in front; a line
without a mark has the level of the stream it came on. Times are milliseconds since the epoch by the node's clock, as
those of jobs are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self, cast

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct, Wire
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table

#: messages that one answer holds at most
PAGE_MESSAGES = 1000


class Level(IntEnum):
    """What kind of message it is. 50, and 100 and up, are the agent's own: a program cannot use them."""

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


#: `101::PID` on a line asks that this process is measured too
METER_LEVEL = 101
#: what a job returns is its last message of one of these
RESULT_LEVELS = (Level.RESULT_JSON, Level.RESULT_YAML, Level.RESULT_TOML, Level.RESULT_HRD, Level.JOB_JSON)

_LAST = max(Level)
_RANGE = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")
_FORMS = "Write '*', a level (7), some (1,2,7), a range (1-5), or these together (1-5,9); levels are 1 to 30."


class Mark(IntFlag):
    """What else is to be known of a message, so that not a byte of a stream is lost."""

    CONTINUES = 1  #: no line end came: the text goes on in the stream's next message, or the stream ended here
    CRLF = 2  #: its line ended with a carriage return and a newline, not a newline alone
    UNTERMINATED = 4  #: a block whose end mark never came


@dataclass(frozen=True, slots=True)
class Levels:
    """A set of levels, as `loglevels` and filters write them."""

    numbers: frozenset[int]

    @classmethod
    def parse(cls, written: object) -> Self:
        """From `*`, `7`, `1,2`, `1-5`, a mix, or a list of numbers; "" and [] are no level. `BadInput` otherwise."""
        if isinstance(written, str):
            parts = [part for part in written.split(",") if written.strip()]
            return cls(frozenset(number for part in parts for number in _part(part, written)))
        if isinstance(written, int):
            return cls(frozenset(_numbers(written, written, written)))
        if isinstance(written, list | tuple):
            return cls(frozenset(_one(each, cast("object", written)) for each in cast("Iterable[object]", written)))
        raise BadInput(f"{written!r} is no set of levels.", hint=_FORMS)

    def __contains__(self, level: object) -> bool:
        return level in self.numbers

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def __str__(self) -> str:
        """The shortest way to write it."""
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
    """`1-3` for 1, 2, 3."""
    first = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            yield str(number) if numbers[first] == number else f"{numbers[first]}-{number}"
            first = place + 1


_EVERY = Levels(frozenset(range(1, _LAST + 1)))
#: levels as a person or a program writes them; `Levels.parse` reads it
LevelsWritten = str | int | tuple[int, ...]


class LogLevels(Struct, frozen=True, kw_only=True):
    """Which of a process' messages go where; the names are those of a command's arguments."""

    loglevels: LevelsWritten = "*"  #: levels that are taken at all; the rest is ignored
    loglevels_db: LevelsWritten = "1-9,11,20-30"  #: of these, levels that are kept on the node
    loglevels_ac: LevelsWritten = "3,4,7-9"  #: and levels that are forwarded to the server


class Message(Wire, frozen=True, kw_only=True):
    """One message. `data` is its text; where that is not valid UTF-8, `raw` has the very bytes and `data` U+FFFD."""

    id: int  #: uint32, counted by the node, over all its processes; begins again after 2^32
    job_id: str
    domain: str = ""
    name: str = ""
    epoch: int  #: when it came, in milliseconds since the epoch
    level: int
    data: str
    marks: int = 0  #: of `Mark`
    raw: bytes = b""
    place: int = 0  #: where it is in the node's store, which is the cursor behind it; 0 when it is not from there


class MessageFilter(Struct, frozen=True, kw_only=True):
    """Which messages are asked for, or to be deleted. Every field narrows; limit and cursor only page."""

    job_id: str | None = None
    domain: str | None = None
    name: str | None = None
    time_from: int | None = None  #: milliseconds since the epoch, this one included
    time_to: int | None = None  #: milliseconds since the epoch, this one not
    levels: LevelsWritten = "*"
    text: str = ""  #: what the text must contain, upper and lower case told apart
    limit: int = PAGE_MESSAGES  #: 1 to PAGE_MESSAGES
    cursor: str = ""  #: of the page before, with the same filter
    newest_first: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_MESSAGES:
            raise BadInput(f"An answer holds 1 to {PAGE_MESSAGES} messages, not {self.limit}.")
        if self.cursor and not (self.cursor.isascii() and self.cursor.isdecimal() and len(self.cursor) < 19):
            raise BadInput(f"'{self.cursor}' is no cursor.", hint="Use the cursor of the page before, as it is.")
        for time_ms in (self.time_from, self.time_to):
            if time_ms is not None and not -(2**63) <= time_ms < 2**63:
                raise BadInput(f"{time_ms} is no time in milliseconds since the epoch.")
        Levels.parse(self.levels)


class MessagePage(Wire, frozen=True, kw_only=True):
    """Some of the messages that match, in the order they came, or from the newest back."""

    messages: tuple[Message, ...]
    cursor: str | None = None  #: where the next page begins; None: these were the last
    resume: str = ""  #: the cursor, oldest first, behind all that was looked at: for those that are still to come
    problems: tuple[str, ...] = ()  #: why messages may be missing, in words


class DeletedMessages(Struct, frozen=True, kw_only=True):
    """What `del_msgs` answers."""

    deleted: int


class NodeMessage(Message, frozen=True, kw_only=True):
    """A message, and the node on which it was printed."""

    gid: int
    nid: int
    node: str = ""  #: the node's name; gid/nid when it was removed


class FoundMessages(Wire, frozen=True, kw_only=True):
    """Messages of several nodes: what the nodes have, and what was forwarded, each once.

    They are ordered by time and then by id, those of one node as they came; or the same from the newest back.
    """

    messages: tuple[NodeMessage, ...]
    cursor: str | None = None  #: where the next page begins; None: these were the last
    resume: str = ""  #: from here on, what is printed after these can be followed
    problems: tuple[str, ...] = ()  #: why messages may be missing, in words


MESSAGES_TABLE = Table(
    name="messages",
    description="What processes printed and their levels let through; everything else stays on the node",
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
        Column(name="marks", type=ColumnType.UINT8, description="1 goes on in the next, 2 CRLF, 4 end mark missing"),
        Column(name="data", type=ColumnType.STRING, description="the text; bytes that are not UTF-8 as U+FFFD"),
    ),
)
