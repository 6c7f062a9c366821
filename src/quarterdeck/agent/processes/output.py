"""What one process prints, in one of its runs: streams become messages, samples, and what its result will say.

It parses, and keeps what a result needs: the end of both streams as they were printed, the last message of a result's
level, the last critical one. Where messages and samples then go is the process manager's business (`processes.py`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from quarterdeck.agent.messages.lines import LineParser, Lines
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.processes.client import Event, Exited, OutputLost
from quarterdeck.agent.processes.client import Output as Bytes
from quarterdeck.agent.processes.readings import Past, Reading
from quarterdeck.model.jobs import RESULT_LINES
from quarterdeck.model.messages import RESULT_LEVELS, Level, Mark

#: what a result keeps of a stream, whatever a line is
TAIL_BYTES = 1024 * 1024
#: longest `data` that is kept whole; the executor says so when a result is over its limit
DATA_BYTES = 16 * 1024 * 1024
#: what comes in smaller pieces is put together
SMALL_BYTES = 1024
#: processes that one may have measured with it
METERED = 64
_STREAMS = (1, 2)
_RESULTS = frozenset(map(int, RESULT_LEVELS))
_LEAST = min(Level.CRITICAL, Level.STATSD)


class Tail:
    """The last lines of a stream, as printed."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[bytes, int]] = deque()  # bytes, and how many lines end in them
        self._lines = self._bytes = 0

    def add(self, chunk: bytes) -> None:
        """More of the stream."""
        lines = chunk.count(b"\n")
        self._lines += lines
        self._bytes += len(chunk)
        if self._chunks and len(self._chunks[-1][0]) < SMALL_BYTES:
            before, ends = self._chunks.pop()
            chunk, lines = before + chunk, ends + lines
        self._chunks.append((chunk, lines))
        while len(self._chunks) > 1:
            oldest, ends = self._chunks[0]
            if self._lines - ends <= RESULT_LINES and self._bytes - len(oldest) < TAIL_BYTES:
                return
            self._chunks.popleft()
            self._lines -= ends
            self._bytes -= len(oldest)

    def text(self) -> str:
        """At most `RESULT_LINES` of them."""
        whole = b"".join(chunk for chunk, _ in self._chunks)[-TAIL_BYTES:]
        lines = whole.split(b"\n")
        kept = RESULT_LINES + (not lines[-1])  # behind the last line end there is none
        return b"\n".join(lines[-kept:]).decode(errors="replace")


class _Last:
    """The last message of some levels, put together from its pieces."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text = bytearray()
        self._open = 0  # the stream on which it goes on
        self.level = 0

    def add(self, stream: int, level: int, text: bytes, marks: int) -> None:
        """A message, or the next piece of one."""
        if self._open != stream or self.level != level:
            self._text.clear()
        self.level = level
        if len(self._text) <= self._limit:
            self._text += text
        self._open = stream if marks & Mark.CONTINUES else 0

    def text(self) -> str:
        return self._text.decode(errors="replace")


class RunOutput:
    """Of one run of a process. `take` and `end` give what came of it, as a run of messages."""

    def __init__(self, source: Source, routing: Routing) -> None:
        self._source = source
        self._routing = routing
        self._parsers = {1: LineParser(Level.STDOUT), 2: LineParser(Level.STDERR)}
        self._tails = {stream: Tail() for stream in _STREAMS}
        self._data, self._critical = _Last(DATA_BYTES), _Last(TAIL_BYTES)
        self.meter: list[int] = []  #: processes that are to be measured with it
        self.samples: list[bytes] = []  #: statsd, until somebody takes it
        self.messages = 0  #: so many are kept on the node
        self.heard = (0, 0)  #: bytes of standard output and of standard error that were told, also as lost

    def missed(self, event: Event) -> int:
        """Bytes that this says are lost, or that nobody who is left was told before it."""
        out, err = heard = self.heard
        match event:
            case Bytes(stream=1):
                out = event.offset
                self.heard = out + len(event.data), err
            case Bytes():
                err = event.offset
                self.heard = out, err + len(event.data)
            case OutputLost():
                out, err = self.heard = out + event.bytes[0], err + event.bytes[1]
            case Exited():
                out, err = event.printed
        return max(0, out - heard[0]) + max(0, err - heard[1])

    def take(self, stream: int, chunk: bytes) -> Run:
        """More of a stream."""
        self._tails[stream].add(chunk)
        return self._found(stream, self._parsers[stream].feed(chunk))

    def end(self) -> list[Run]:
        """It has ended: what it left unfinished."""
        return [self._found(stream, self._parsers[stream].end()) for stream in _STREAMS]

    def reading(self, *, began: float, seq: int) -> Reading:
        """How far it was read: up to the keeper's record `seq`."""
        parsers = self._parsers[1].state, self._parsers[2].state
        return Reading(began=began, seq=seq, parsers=parsers, heard=self.heard, messages=self.messages)

    def recall(self, past: Past) -> None:
        """Go on where an earlier life stopped.

        Which stream a marked message came on is not known any more: it is taken for standard output.
        """
        self.messages, self.heard = past.reading.messages, past.reading.heard
        for message in past.messages:
            stream = 2 if message.level == Level.STDERR else 1
            text = message.raw or message.data.encode()
            self._tails[stream].add(_as_printed(message.level, text, message.marks))
            if message.level in _RESULTS or message.level == Level.CRITICAL:
                last = self._critical if message.level == Level.CRITICAL else self._data
                last.add(stream, message.level, text, message.marks)
        for stream, state in zip(_STREAMS, past.reading.parsers, strict=True):
            self._parsers[stream].restore(state)
            self._tails[stream].add(state[2] + state[0])

    def noted(self, level: Level, text: str) -> Run:
        """A message of ours in its log."""
        self.messages += 1
        if level is Level.CRITICAL:
            self._critical.add(0, level, text.encode(), 0)
        return Run(self._source, int(time.time() * 1000), [int(level)], [text.encode()], [0])

    @property
    def streams(self) -> tuple[str, str]:
        """The end of both, as printed."""
        return self._tails[1].text(), self._tails[2].text()

    @property
    def data(self) -> tuple[str, int]:
        """Text and level of the last message of a result's level."""
        return self._data.text(), self._data.level

    @property
    def critical(self) -> str:
        """The last critical message."""
        return self._critical.text()

    def _found(self, stream: int, lines: Lines) -> Run:
        for pid in lines.meter:
            if pid not in self.meter and len(self.meter) < METERED:
                self.meter.append(pid)
        run = Run.of(self._source, lines, epoch_ms=int(time.time() * 1000)).only(self._routing.processed)
        self.messages += len(run.only(self._routing.kept))
        if len(run) and max(run.levels) >= _LEAST:
            self._look(stream, run)
        return run

    def _look(self, stream: int, run: Run) -> None:
        """Messages that are more than words."""
        for level, text, marks in zip(run.levels, run.texts, run.marks, strict=True):
            if level == Level.STATSD:
                self.samples.append(text)
            elif level in _RESULTS:
                self._data.add(stream, level, text, marks)
            elif level == Level.CRITICAL:
                self._critical.add(stream, level, text, marks)


def _as_printed(level: int, text: bytes, marks: int) -> bytes:
    end = b"" if marks & Mark.CONTINUES else b"\r\n" if marks & Mark.CRLF else b"\n"
    if level in _STREAMS:
        return text + end
    if b"\n" in text:
        return b"%d:::\n%b%b:::%b" % (level, text, end, end)
    return b"%d::%b%b" % (level, text, end)


def joined(events: Sequence[Bytes]) -> list[tuple[int, bytes]]:
    """Output that came together: what follows on one stream becomes one chunk."""
    chunks: list[tuple[int, list[bytes]]] = []
    for event in events:
        if chunks and chunks[-1][0] == event.stream:
            chunks[-1][1].append(event.data)
        else:
            chunks.append((event.stream, [event.data]))
    return [(stream, parts[0] if len(parts) == 1 else b"".join(parts)) for stream, parts in chunks]
