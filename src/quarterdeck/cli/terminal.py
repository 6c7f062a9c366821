"""Foreign text on a terminal: control characters and escape sequences are escaped.

Names, reasons, rows and lines come from nodes, where any program and any local user chooses them. Everything that `qd`
prints on a terminal passes through here, by way of `output.py`, `lines.py` and `logs.py`. It never changes what goes to
a pipe or a file; `| cat` shows unchanged bytes on a terminal too.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import TextIO

#: C0 except tab and line feed, DEL, C1, direction controls, and surrogates
_STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: sequences kept in a program's output: colours (SGR), erasing its own line; in a progress line also carriage return
_OUTPUT = re.compile(rf"(\x1b\[[0-9;:]*m|\x1b\[[0-2]?K)|{_STEERING.pattern}")
#: an incomplete sequence that the next piece may complete
_BEGUN = re.compile(r"\x1b(\[[0-9;:]{0,32})?\Z")
_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")
_RETURN = re.compile(rb"\r(?!\n)")
_PLAIN = b"\x1b[0m"


def are_colours_wanted() -> bool:
    """Return whether the user has not refused colours, with NO_COLOR (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


def is_coloured(stream: TextIO) -> bool:
    """Return whether colours and other styles are written to this stream."""
    return stream.isatty() and are_colours_wanted()


def plain(text: str, *, one_line: bool = False) -> str:
    """Escape every control character in the text, as `\\x1b`; with `one_line` line feeds too."""
    found = _STEERING.sub(_written, text)
    return found.replace("\n", "\\n") if one_line else found


def plain_json(text: str) -> str:
    """Escape control characters in JSON without changing its meaning."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class ProgramOutput:
    """Shows what one program printed on one stream, piece by piece.

    Its colours are kept; they end with the line where lines of other programs may follow. With `rewrites` it may also
    return to the beginning of its own line, as progress lines do; the prefix of the line is then printed again. Other
    sequences (moving the cursor, setting a title or the clipboard, querying the terminal) are escaped.
    """

    def __init__(self, *, rewrites: bool) -> None:
        self._rewrites = rewrites
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._begun = ""
        self.coloured = False  #: whether a colour is active

    def piece(self, data: bytes, *, begin: bytes, ends: bool) -> bytes:
        """Return the next piece of a line; `begin` is the prefix of each line, `ends` says that the line ends."""
        text = self._begun + self._decoder.decode(data, final=ends)
        begun = None if ends else _BEGUN.search(text)
        self._begun = begun[0] if begun else ""
        found = _OUTPUT.sub(self._kept, text.removesuffix(self._begun)).encode()
        for colour in _COLOUR.finditer(found.decode()):
            self.coloured = bool(colour[1].strip("0"))
        if begin:
            found = _RETURN.sub(lambda _: b"\r" + begin, found)
            found, self.coloured = found + (_PLAIN if self.coloured else b""), False
        return found

    def _kept(self, match: re.Match[str]) -> str:
        returns = self._rewrites and match[0] == "\r"
        return match[0] if match[1] or returns else _written(match)

    def end(self) -> bytes:
        """Return the sequence that resets an active colour."""
        ending, self.coloured = _PLAIN if self.coloured else b"", False
        return ending


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        code -= 0xDC00
    return "\\r" if code == 0x0D else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
