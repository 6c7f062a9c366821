"""The bytes of one stream become messages, however they are cut into chunks.

    text             a message of the stream's own level
    7::text          a message of level 7
    5:::text         a block of level 5: this and all lines up to one that is exactly `:::`
    101::4711        a message of the stream's own level, and a wish that process 4711 is measured too

Marks that are no level of the table (50, 100, 007) are text. No byte is lost: texts are the bytes as they came, blank
lines and NULs included, without the line end, of which `Mark` says what it was. A text longer than a piece comes in
several, each but the last marked CONTINUES; so memory stays bounded. A block that is never closed comes at the end of
the stream, marked UNTERMINATED. It owns the state between two chunks and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from quarterdeck.model.messages import METER_LEVEL, Level, Mark

#: the longest text of one message
PIECE_BYTES = 256 * 1024

_NEWLINE = b"\n"
_NONE = Mark(0)
_BLOCK_END = (b":::", b":::\r")
_LEVELS = "|".join(str(int(level)) for level in sorted(Level, reverse=True))
_MARK = re.compile(rf"({_LEVELS})::(:?)".encode())
_METER = re.compile(rf"{METER_LEVEL}::([1-9]\d{{0,9}})\r?".encode())


#: what a parser holds between two chunks: `_rest`, `_open`, `_text`, `_block`, `_inside`
ParserState = tuple[bytes, int | None, bytes, bool, bool]


@dataclass(slots=True)
class Lines:
    """Messages as columns: entry i of each list belongs to message i."""

    levels: list[int] = field(default_factory=list[int])
    texts: list[bytes] = field(default_factory=list[bytes])
    marks: list[int] = field(default_factory=list[int])
    meter: list[int] = field(default_factory=list[int])  #: processes that are to be measured too

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, level: int, text: bytes, marks: int = 0) -> None:
        """One message more."""
        self.levels.append(level)
        self.texts.append(text)
        self.marks.append(marks)

    def extend(self, level: int, texts: list[bytes]) -> None:
        """Whole lines of one level."""
        self.levels += [level] * len(texts)
        self.texts += texts
        self.marks += [0] * len(texts)


class LineParser:
    """Parses one stream; `level` is that of its lines without a mark."""

    def __init__(self, level: Level, *, piece_bytes: int = PIECE_BYTES) -> None:
        self._level = int(level)
        self._piece_bytes = piece_bytes
        self._rest = bytearray()  # of a line whose end has not come, from its beginning
        self._open: int | None = None  # the level of the message whose text is in `_text`
        self._text = bytearray()
        self._block = False  # that message is a block, and ends with an end mark
        self._inside = False  # the stream is within a line whose beginning is in `_text` already
        self._found = Lines()

    @property
    def state(self) -> ParserState:
        """What is unfinished; another parser of the same stream can go on with it."""
        return bytes(self._rest), self._open, bytes(self._text), self._block, self._inside

    def restore(self, state: ParserState) -> None:
        """Go on where another stopped."""
        rest, self._open, text, self._block, self._inside = state
        self._rest, self._text = bytearray(rest), bytearray(text)

    def feed(self, chunk: bytes) -> Lines:
        """The messages that are complete now, or long enough for a piece."""
        head, newline, tail = chunk.rpartition(_NEWLINE)
        if newline:
            self._whole_lines(bytes(self._rest) + head if self._rest else head)
            self._rest.clear()
        self._rest += tail
        if self._inside or len(self._rest) > self._piece_bytes:
            self._begin_line()
        return self._take()

    def end(self) -> Lines:
        """The stream is over: what it left unfinished."""
        if self._rest or self._inside:
            if not self._inside and self._block and bytes(self._rest) in _BLOCK_END:
                self._close_block()
            else:
                self._begin_line()
        marks = Mark.CONTINUES if self._inside else _NONE
        if self._block:
            self._close_block(marks | Mark.UNTERMINATED)
        elif self._inside:
            self._finish(marks)
        return self._take()

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _whole_lines(self, data: bytes) -> None:
        """Lines whose ends have all come; the last line end is not in `data`."""
        if self._inside:
            first, newline, data = data.partition(_NEWLINE)
            self._end_line(first)
            if not newline:
                return
        if b"::" not in data:
            if self._block:
                self._text += data + _NEWLINE
                self._cut()
                return
            if b"\r\n" not in data and not data.endswith(b"\r") and len(data) <= self._piece_bytes:
                self._found.extend(self._level, data.split(_NEWLINE))
                return
        for line in data.split(_NEWLINE):
            self._line(line)

    def _line(self, line: bytes) -> None:
        """One line from its beginning to its end."""
        if self._block:
            if line in _BLOCK_END:
                self._close_block()
            else:
                self._text += line + _NEWLINE
                self._cut()
            return
        mark = _MARK.match(line)
        if mark is None and len(line) < self._piece_bytes and not line.endswith(b"\r"):
            self._found.add(self._level, line)
            self._look_for_meter(line)
            return
        if mark is not None and not mark[2] and len(line) < self._piece_bytes and not line.endswith(b"\r"):
            self._found.add(int(mark[1]), line[mark.end() :])
            return
        self._begin(line)
        self._end_line(b"")

    def _begin_line(self) -> None:
        """Take the part of a line that is here, though its end is not: it is too long to wait for."""
        if self._inside or self._block:
            self._text += self._rest
        else:
            self._begin(bytes(self._rest))
        self._inside = True
        self._rest.clear()
        self._cut()

    def _begin(self, line: bytes) -> None:
        """The beginning of a line outside of a block opens a message."""
        mark = _MARK.match(line)
        self._open = int(mark[1]) if mark else self._level
        self._block = bool(mark and mark[2])
        self._text += line[mark.end() :] if mark else line
        if mark is None:
            self._look_for_meter(line)

    def _end_line(self, rest: bytes) -> None:
        """The line that is in `_text` ends with `rest`."""
        self._inside = False
        self._text += rest
        if not self._block:
            self._finish()
        elif len(self._text) > 1 or self._text.strip(b"\r"):
            self._text += _NEWLINE
            self._cut()
        else:
            self._text.clear()  # nothing behind the opening mark is no line

    def _look_for_meter(self, line: bytes) -> None:
        if line.startswith(b"101::") and (wish := _METER.fullmatch(line)):
            self._found.meter.append(int(wish[1]))

    # ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _close_block(self, marks: Mark = _NONE) -> None:
        if self._text.endswith(_NEWLINE):
            del self._text[-1:]
        self._finish(marks)

    def _finish(self, marks: Mark = _NONE) -> None:
        """The text is complete; a carriage return at its end was part of the line end."""
        assert self._open is not None
        if not marks & Mark.CONTINUES and self._text.endswith(b"\r"):
            marks |= Mark.CRLF
            del self._text[-1:]
        self._cut(final=True)
        self._found.add(self._open, bytes(self._text), int(marks))
        self._open, self._block, self._inside = None, False, False
        self._text.clear()

    def _cut(self, *, final: bool = False) -> None:
        """Give pieces while there is certainly more text than one: a last line end may turn out to be none of it."""
        end = len(self._text)
        if self._open is None or end <= self._piece_bytes:
            return
        if not final and self._text.endswith((b"\n", b"\r")):
            end -= 2 if self._text.endswith(b"\r\n") else 1
        start = 0
        while end - start > self._piece_bytes:
            stop = _character(self._text, start + self._piece_bytes)
            self._found.add(self._open, bytes(self._text[start:stop]), int(Mark.CONTINUES))
            start = stop
        del self._text[:start]

    def _take(self) -> Lines:
        found, self._found = self._found, Lines()
        return found


def _character(text: bytearray, place: int) -> int:
    """Where the UTF-8 character begins that `place` is in, so that no piece ends within one."""
    for back in range(4):
        if text[place - back] & 0xC0 != 0x80:
            return place - back
    return place
