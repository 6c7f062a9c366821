"""What processes printed, printed again: byte for byte, each line after the name of its node.

What came on standard output goes to standard output, everything else to standard error, after the name of its level
unless that is standard error. A node's line that has no end yet goes on where it stopped; when another comes between,
it is ended first, so that no two nodes share a line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import BinaryIO, TextIO

from quarterdeck.model.messages import RESULT_LEVELS, Level, Mark, Message

#: of nodes' names, one after the other: cyan, green, yellow, magenta, blue
_COLOURS = (36, 32, 33, 35, 34)


class _Sink:
    """One file that lines go to."""

    def __init__(self, text: TextIO, *, coloured: bool) -> None:
        self._text = text
        self.terminal = text.isatty()
        self.coloured = coloured and self.terminal and not os.environ.get("NO_COLOR")
        self.open: object = None  #: whose line has no end yet
        self._waiting = bytearray()

    def add(self, written: bytes) -> None:
        self._waiting += written

    def flush(self) -> None:
        """Write what was added, behind what was printed as text."""
        if not self._waiting:
            return
        self._text.flush()
        binary: BinaryIO | None = getattr(self._text, "buffer", None)
        if binary is None:  # a test's, or a notebook's
            self._text.write(self._waiting.decode("utf-8", "replace"))
        else:
            binary.write(self._waiting)
            binary.flush()
        self._waiting.clear()


class NodeLines:
    """Prints the messages of these nodes; without `prefix` as a program here would have written them."""

    def __init__(self, names: Iterable[str], *, prefix: bool) -> None:
        self._names = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self._width = max(map(len, self._names), default=0)
        self._prefix = prefix
        self._out, self._err = (_Sink(stream, coloured=prefix) for stream in (sys.stdout, sys.stderr))

    def print(self, node: str, messages: Sequence[Message], *, results: bool = False) -> None:
        """Messages of one node, in their order; `results` too, if nobody prints these when the job is over."""
        last: _Sink | None = None
        for message in messages:
            if message.level in RESULT_LEVELS and not results:
                continue
            sink = self._out if message.level == Level.STDOUT else self._err
            if sink is not last:
                if last is not None:
                    last.flush()
                last = sink
                self._leave(self._err if sink is self._out else self._out)
            self._line(sink, node, message)
        if last is not None:
            last.flush()

    def print_text(self, node: str, text: str) -> None:
        """Whole lines of a node, on standard output."""
        lines = text.removesuffix("\n").split("\n") if text else ()
        self.print(node, [Message(id=0, job_id="", epoch=0, level=Level.STDOUT, data=line) for line in lines])

    @property
    def unfinished(self) -> bool:
        """Whether the terminal's last line has no end, so that what is printed next would go on in it."""
        return any(sink.open is not None and sink.terminal for sink in (self._out, self._err))

    def finish(self) -> None:
        """End what has no end, on a terminal or where lines have prefixes: there each is a line of its own."""
        for sink in (self._out, self._err):
            if sink.open is not None and (sink.terminal or self._prefix):
                sink.add(b"\n")
                sink.flush()
                sink.open = None

    def _leave(self, other: _Sink) -> None:
        """Where both are one terminal, what is printed next must not go on in the other's line."""
        if self._prefix and other.open is not None and self._out.terminal and self._err.terminal:
            other.add(b"\n")
            other.flush()
            other.open = None

    def _line(self, sink: _Sink, node: str, message: Message) -> None:
        who = (node, message.level)
        text = message.raw or message.data.encode("utf-8", "surrogateescape")
        end = b"" if message.marks & Mark.CONTINUES else b"\r\n" if message.marks & Mark.CRLF else b"\n"
        begin = self._begin(sink, node, message.level)
        if sink.open not in (None, who):
            sink.add(b"\n")
        if begin:
            text = text.replace(b"\n", b"\n" + begin)  # a block's
        sink.add((b"" if sink.open == who else begin) + text + end)
        sink.open = None if end else who

    def _begin(self, sink: _Sink, node: str, level: int) -> bytes:
        """What stands in front of a line."""
        named = "" if level in (Level.STDOUT, Level.STDERR) else f"{level_name(level)}: "
        if not self._prefix:
            return named.encode()
        prefix = f"{node.ljust(self._width)} |"
        if sink.coloured:
            prefix = f"\x1b[{_COLOURS[self._names.get(node, 0) % len(_COLOURS)]}m{prefix}\x1b[0m"
        return f"{prefix} {named}".encode("utf-8", "surrogateescape")


def level_name(level: int) -> str:
    """ "ops error" of 8."""
    try:
        return Level(level).name.lower().replace("_", " ")
    except ValueError:  # of a newer agent
        return f"level {level}"
