"""The one line at the end of a terminal that says how far things are; it is taken away before anything is printed."""

from __future__ import annotations

import shutil
import sys


class Progress:
    """Written to standard error, and only where that is a terminal."""

    def __init__(self, *, wanted: bool = True) -> None:
        self._on = wanted and sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        """Write it, in place of what was there."""
        if self._on and text != self._shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[2K\x1b[2m{text[:width]}\x1b[0m")
            sys.stderr.flush()
            self._shown = text

    def clear(self) -> None:
        """Take it away."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = ""
