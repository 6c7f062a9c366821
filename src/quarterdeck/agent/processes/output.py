"""The output of one run of a process: its streams as messages, samples, and the part of a result that they make.

It parses the streams and keeps what a result needs: the end of both streams as they were printed, the last message of a
result's level, and the last critical one. The process manager (`processes.py`) decides where messages and samples go.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from quarterdeck.agent.keeper.messages import Event, Exited, OutputChunk, OutputLost
from quarterdeck.agent.messages.lines import LineParser, Lines
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.processes.readings import Past, Reading
from quarterdeck.model.jobs import RESULT_LINES
from quarterdeck.model.messages import RESULT_LEVELS, Level, Mark

#: what a result keeps of a stream, whatever a line is
TAIL_BYTES = 1024 * 1024
#: longest `data` that is kept whole; the executor says so when a result is over its limit
DATA_BYTES = 16 * 1024 * 1024
#: how long a line waits for its end before its beginning is given: a prompt has no line end
PAUSE_S = 0.3
#: bytes that are parsed and stored at once: they may be 8,000 lines
CHUNK_BYTES = 16 * 1024
#: what comes in smaller pieces is put together
SMALL_BYTES = 1024
#: processes that one may have measured with it
METERED = 64
_STREAMS = (1, 2)
_RESULTS = frozenset(map(int, RESULT_LEVELS))
_LEAST = min(Level.CRITICAL, Level.STATSD)
#: the reason for bytes missing between two records that no loss explains
_UNTOLD = "an earlier agent or keeper did not store them, or they are damaged"


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
    """The last message of some levels, joined from its pieces."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text = bytearray()
        self._open = 0  # the stream on which it goes on
        self.level = 0

    def add(self, stream: int, level: int, text: bytes, marks: int) -> None:
        """Add a message, or the next piece of one."""
        if self._open != stream or self.level != level:
            self._text.clear()
        self.level = level
        if len(self._text) <= self._limit:
            self._text += text
        self._open = stream if marks & Mark.CONTINUES else 0

    def text(self) -> str:
        return self._text.decode(errors="replace")


class RunOutput:
    """The parsers of one run of a process. `take` and `end` return what they made, as a run of messages."""

    def __init__(self, source: Source, routing: Routing) -> None:
        self._source = source
        self._routing = routing
        self._parsers = {1: LineParser(Level.STDOUT), 2: LineParser(Level.STDERR)}
        self._tails = {stream: Tail() for stream in _STREAMS}
        self._data, self._critical = _Last(DATA_BYTES), _Last(TAIL_BYTES)
        self.meter: list[int] = []  #: processes that are to be measured with it
        self.samples: list[bytes] = []  #: statsd, until somebody takes it
        self.messages = 0  #: so many are kept on the node
        self._line_began: dict[int, float] = dict.fromkeys(
            _STREAMS, 0.0
        )  # when the unfinished line began to wait, monotonic
        self.seq = 0  #: number of the keeper's last record that was taken
        self.pausing = False  #: a check of the waiting time is scheduled
        self.heard = (0, 0)  #: bytes of standard output and of standard error that were told, also as lost

    def missed(self, event: Event) -> int:
        """Return how many bytes this event counts as lost, or were lost before it without a report."""
        out, err = heard = self.heard
        match event:
            case OutputChunk(stream=1):
                out = event.offset
                self.heard = out + len(event.data), err
            case OutputChunk():
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
        parser = self._parsers[stream]
        if b"\n" in chunk or not parser.unfinished:
            self._line_began[stream] = time.monotonic()
        return self._found(stream, parser.feed(chunk))

    @property
    def waits_s(self) -> float | None:
        """Return how long the unfinished line can still wait for its end; None without one."""
        due = [self._line_began[stream] + PAUSE_S for stream in _STREAMS if self._parsers[stream].unfinished]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def pause(self) -> list[Run]:
        """Return the beginnings of lines that have waited long enough."""
        found: list[Run] = []
        now = time.monotonic()
        for stream in _STREAMS:
            if self._parsers[stream].unfinished and self._line_began[stream] + PAUSE_S <= now:
                self._line_began[stream] = now
                found.append(self._found(stream, self._parsers[stream].pause()))
        return found

    def end(self) -> list[Run]:
        """Return the unfinished messages of a process that has ended."""
        return [self._found(stream, self._parsers[stream].end()) for stream in _STREAMS]

    def reading(self, *, began: float, seq: int) -> Reading:
        """Return the read position: up to the keeper's record `seq`."""
        parsers = self._parsers[1].state, self._parsers[2].state
        return Reading(began=began, seq=seq, parsers=parsers, heard=self.heard, messages=self.messages)

    def file_under(self, source: Source, routing: Routing) -> None:
        """Set the source and the routing of the following messages."""
        self._source, self._routing = source, routing

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
        """Return a message of the agent for the log of the process."""
        self.messages += 1
        if level is Level.CRITICAL:
            self._critical.add(0, level, text.encode(), 0)
        return Run(self._source, int(time.time() * 1000), [int(level)], [text.encode()], [0])

    @property
    def streams(self) -> tuple[str, str]:
        """Return the last lines of both streams, as printed."""
        return self._tails[1].text(), self._tails[2].text()

    @property
    def data(self) -> tuple[str, int]:
        """Text and level of the last message of a result's level."""
        return self._data.text(), self._data.level

    @property
    def critical(self) -> str:
        """Return the last critical message."""
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


def why_missed(event: Event) -> str:
    """Return the reason, in words, for the loss of the bytes that `missed` counts."""
    if isinstance(event, OutputLost):
        return event.why or "too much output waited for the agent, or the disk was full"
    return _UNTOLD


def joined(events: Sequence[OutputChunk]) -> list[tuple[int, bytes]]:
    """Join outputs that came together: consecutive bytes of a stream become one chunk, or several for a flood."""
    streams: list[tuple[int, list[bytes]]] = []
    for event in events:
        if streams and streams[-1][0] == event.stream:
            streams[-1][1].append(event.data)
        else:
            streams.append((event.stream, [event.data]))
    wholes = [(stream, parts[0] if len(parts) == 1 else b"".join(parts)) for stream, parts in streams]
    return [
        (stream, whole[begin : begin + CHUNK_BYTES])
        for stream, whole in wholes
        for begin in range(0, len(whole), CHUNK_BYTES)
    ]
