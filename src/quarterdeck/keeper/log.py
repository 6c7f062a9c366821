"""The keeper's log, written to its standard error. Standard library only."""

from __future__ import annotations

import os
from contextlib import suppress

#: texts that are remembered, so that each is logged once; beyond this number all are forgotten
_DISTINCT = 100
_said: set[str] = set()


def note(text: str) -> None:
    """Log a text once, however often it occurs. A log that cannot be written is not an error."""
    if text in _said:
        return
    if len(_said) >= _DISTINCT:
        _said.clear()
    _said.add(text)
    with suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace") + b"\n")
