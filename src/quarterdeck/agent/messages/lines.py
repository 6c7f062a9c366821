"""Turns the bytes of one stream into messages, however the bytes are cut into chunks.

    text             a message of the stream's own level
    7::text          a message of level 7
    5:::text         a block of level 5: this and all lines up to one that is exactly `:::`
    101::4711        a message of the stream's own level, and a request to measure process 4711 too

Marks that are no level of the table (50, 100, 007) are text. No byte is lost: texts are the bytes of the stream, with
blank lines and NULs, without the line end, whose kind is in `Mark`. A text longer than a piece is given in several
messages, each but the last marked CONTINUES; so memory stays bounded. A block that is never closed is given at the end
of the stream, marked UNTERMINATED. The parser owns the state between two chunks and nothing else.
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
#: text that has a mark, a request, or is too short to tell
_MAY_BE_MARKED = re.compile(rf"(?:{_LEVELS})::|{METER_LEVEL}::|\d{{0,3}}:{{0,2}}\Z".encode())


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
        """Add one message."""
        self.levels.append(level)
        self.texts.append(text)
        self.marks.append(marks)

    def extend(self, level: int, texts: list[bytes]) -> None:
        """Add whole lines of one level."""
        self.levels += [level] * len(texts)
        self.texts += texts
        self.marks += [0] * len(texts)


class LineParser:
    """Parses one stream. `level`: the level of its lines without a mark."""

    def __init__(self, level: Level, *, piece_bytes: int = PIECE_BYTES) -> None:
        self._level = int(level)
        self._piece_bytes = piece_bytes
        self._rest = bytearray()  # of a line whose end has not arrived, from its beginning
        self._open: int | None = None  # the level of the message whose text is in `_text`
        self._text = bytearray()
        self._block = False  # the open message is a block, and ends with an end mark
        self._inside = False  # the stream is within a line whose beginning is in `_text` already
        self._given = False  # pieces of that line were given before its end arrived
        self._found = Lines()

    @property
    def state(self) -> ParserState:
        """Return the unfinished part, with which another parser of the same stream can continue."""
        return bytes(self._rest), self._open, bytes(self._text), self._block, self._inside

    def restore(self, state: ParserState) -> None:
        """Continue where another parser stopped."""
        rest, self._open, text, self._block, self._inside = state
        self._rest, self._text = bytearray(rest), bytearray(text)

    def feed(self, chunk: bytes) -> Lines:
        """Return the messages that are complete now, or long enough for a piece."""
        head, newline, tail = chunk.rpartition(_NEWLINE)
        if newline:
            self._whole_lines(bytes(self._rest) + head if self._rest else head)
            self._rest.clear()
        self._rest += tail
        if self._inside or len(self._rest) > self._piece_bytes:
            self._begin_line()
        return self._take()

    @property
    def unfinished(self) -> bool:
        """Return whether part of a line has arrived without its end: a prompt, for example, for which a user waits.

        A line that has a mark, or may turn out to have one, is given only as a whole; so is a block.
        """
        if self._inside:
            return not self._block and self._open == self._level and _displayable(self._text) > 0
        return not self._block and not _MAY_BE_MARKED.match(self._rest) and _displayable(self._rest) > 0

    def pause(self) -> Lines:
        """Return what has arrived of the line as a piece, because its end has not arrived for a while."""
        if self.unfinished:
            self._begin_line()
            piece = _displayable(self._text)
            self._found.add(self._level, bytes(self._text[:piece]), int(Mark.CONTINUES))
            del self._text[:piece]
            self._given = True
        return self._take()

    def end(self) -> Lines:
        """Return what the stream left unfinished at its end."""
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
        """Parse lines whose ends have all arrived; the last line end is not in `data`."""
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
        """Parse one line from its beginning to its end."""
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
        """Take the part of a line that has arrived without its end, because it is too long to wait for."""
        if self._inside or self._block:
            self._text += self._rest
        else:
            self._begin(bytes(self._rest))
        self._inside = True
        self._rest.clear()
        self._cut()

    def _begin(self, line: bytes) -> None:
        """Open a message with the beginning of a line outside of a block."""
        mark = _MARK.match(line)
        self._open = int(mark[1]) if mark else self._level
        self._block = bool(mark and mark[2])
        self._text += line[mark.end() :] if mark else line
        if mark is None:
            self._look_for_meter(line)

    def _end_line(self, rest: bytes) -> None:
        """End the line that is in `_text` with `rest`."""
        self._inside = False
        self._text += rest
        if not self._block:
            self._finish()
        elif len(self._text) > 1 or self._text.strip(b"\r"):
            self._text += _NEWLINE
            self._cut()
        else:
            self._text.clear()  # an empty rest behind the opening mark is not a line

    def _look_for_meter(self, line: bytes) -> None:
        if line.startswith(b"101::") and (wish := _METER.fullmatch(line)):
            self._found.meter.append(int(wish[1]))

    # ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _close_block(self, marks: Mark = _NONE) -> None:
        if self._text.endswith(_NEWLINE):
            del self._text[-1:]
        self._finish(marks)

    def _finish(self, marks: Mark = _NONE) -> None:
        """Complete the text; a carriage return at its end was part of the line end."""
        assert self._open is not None
        if not marks & Mark.CONTINUES and self._text.endswith(b"\r"):
            marks |= Mark.CRLF
            del self._text[-1:]
        self._cut(final=True)
        if self._text or not self._given or not marks & Mark.CONTINUES:  # else nothing follows the last piece
            self._found.add(self._open, bytes(self._text), int(marks))
        self._open, self._block, self._inside, self._given = None, False, False, False
        self._text.clear()

    def _cut(self, *, final: bool = False) -> None:
        """Give pieces while there is certainly more text than one: a last line end may not be part of the text."""
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


def _displayable(text: bytearray) -> int:
    """Return how many bytes can be given now without splitting a character or a line end."""
    end = len(text)
    for back in range(1, min(4, end + 1)):
        lead = text[end - back]
        if lead & 0xC0 == 0xC0:  # of a character of two bytes or more
            end -= back if back < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) else 0
            break
        if lead < 0x80:
            break
    return end - text.endswith(b"\r", 0, end)


def _character(text: bytearray, place: int) -> int:
    """Return where the UTF-8 character begins that `place` is in, so that no piece ends within a character."""
    for back in range(4):
        if text[place - back] & 0xC0 != 0x80:
            return place - back
    return place
