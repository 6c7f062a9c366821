"""The progress line at the end of a terminal. It is erased before anything else is printed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from quarterdeck.cli import output
from quarterdeck.cli.terminal import is_coloured, plain

_ERASE = "\r\x1b[2K"


class Progress:
    """A progress line on standard error, if that is a terminal."""

    def __init__(self, *, wanted: bool = True) -> None:
        self._on = wanted and sys.stderr.isatty()
        self._text = ""

    def show(self, text: str) -> None:
        """Show the text, in place of the previous one."""
        if self._on and text != self._text:
            width = shutil.get_terminal_size().columns - 1
            line = plain(text, one_line=True)[:width]
            sys.stderr.write(_ERASE + (f"\x1b[2m{line}\x1b[0m" if is_coloured(sys.stderr) else line))
            sys.stderr.flush()
            self._text = text

    def of_transfer(self, where: str) -> Callable[[int, int], None]:
        """Return a function that shows how far a transfer is, from its bytes so far and in all."""

        def show(at: int, size: int) -> None:
            share = 100 * at // size if size else 100
            self.show(f"{where}: {share} % of {output.size(size)}")

        return show

    def clear(self) -> None:
        """Erase the line."""
        if self._text:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
            self._text = ""
