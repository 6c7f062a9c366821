"""Lines of processes, printed byte for byte, each after the name of its node.

On a terminal programs keep their colours and may rewrite their own line; other control characters are escaped.

Lines of standard output go to standard output, all others to standard error, after the name of their level unless that
is standard error. An unfinished line of a node continues where it stopped; when a line of another node comes between,
it is ended first, so that no two nodes share a line.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import BinaryIO, TextIO

from quarterdeck.cli.terminal import ProgramOutput, is_coloured, plain
from quarterdeck.model.messages import RESULT_LEVELS, Level, Mark, Message

#: of nodes' names, in this order: cyan, green, yellow, magenta, blue
_COLOURS = (36, 32, 33, 35, 34)


class _Sink:
    """One file to which lines are written."""

    def __init__(self, text: TextIO, *, coloured: bool) -> None:
        self._text = text
        self.terminal = text.isatty()
        self.coloured = coloured and is_coloured(text)
        self.open: object = None  #: the source of the unfinished line
        self.outputs = defaultdict[object, ProgramOutput](lambda: ProgramOutput(rewrites=True))
        self._waiting = bytearray()

    def add(self, written: bytes) -> None:
        self._waiting += written

    def flush(self) -> None:
        """Write the collected lines, after what was printed as text."""
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
    """Prints the messages of these nodes; without `prefix` exactly as a local program would have written them."""

    def __init__(self, names: Iterable[str], *, prefix: bool) -> None:
        self._names = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self._width = max(map(len, self._names), default=0)
        self._prefix = prefix
        self._out, self._err = (_Sink(stream, coloured=prefix) for stream in (sys.stdout, sys.stderr))

    def print(self, node: str, messages: Sequence[Message], *, results: bool = False) -> None:
        """Print messages of one node, in their order; `results` too, unless they are printed when the job has ended."""
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
        """Print whole lines of a node on standard output."""
        lines = text.removesuffix("\n").split("\n") if text else ()
        self.print(node, [Message(id=0, job_id="", epoch=0, level=Level.STDOUT, data=line) for line in lines])

    @property
    def unfinished(self) -> bool:
        """Return whether the terminal's last line is unfinished, so that further text would continue it."""
        return any(sink.open is not None and sink.terminal for sink in (self._out, self._err))

    def finish(self) -> None:
        """End unfinished lines, on a terminal or where lines have prefixes."""
        for sink in (self._out, self._err):
            for program in sink.outputs.values():
                sink.add(program.end())
            sink.flush()
            if sink.open is not None and (sink.terminal or self._prefix):
                sink.add(b"\n")
                sink.flush()
                sink.open = None

    def _leave(self, other: _Sink) -> None:
        """End the unfinished line of the other file, if both are the same terminal."""
        if self._prefix and other.open is not None and self._out.terminal and self._err.terminal:
            other.add(b"\n")
            other.flush()
            other.open = None

    def _line(self, sink: _Sink, node: str, message: Message) -> None:
        who = (node, message.level)
        end = b"" if message.marks & Mark.CONTINUES else b"\r\n" if message.marks & Mark.CRLF else b"\n"
        begin = self._begin(sink, node, message.level)
        text = message.raw or message.data.encode("utf-8", "surrogateescape")
        if sink.terminal:
            text = sink.outputs[who].piece(text, begin=begin if self._prefix else b"", ends=bool(end))
        if sink.open not in (None, who):
            sink.add(b"\n")
        if begin:
            text = text.replace(b"\n", b"\n" + begin)  # of a block
        sink.add((b"" if sink.open == who else begin) + text + end)
        sink.open = None if end else who

    def _begin(self, sink: _Sink, node: str, level: int) -> bytes:
        """Return the prefix of a line."""
        named = "" if level in (Level.STDOUT, Level.STDERR) else f"{level_name(level)}: "
        if not self._prefix:
            return named.encode()
        prefix = f"{plain(node) if sink.terminal else node:<{self._width}} |"
        if sink.coloured:
            prefix = f"\x1b[{_COLOURS[self._names.get(node, 0) % len(_COLOURS)]}m{prefix}\x1b[0m"
        return f"{prefix} {named}".encode("utf-8", "surrogateescape")


def level_name(level: int) -> str:
    """Return the name of a level: "ops error" for 8."""
    try:
        return Level(level).name.lower().replace("_", " ")
    except ValueError:  # a level of a newer agent
        return f"level {level}"
