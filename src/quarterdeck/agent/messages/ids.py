"""The node's message numbers: consecutive uint32, wrapping after 2^32, never given twice before that.

Owns one small file with the first number that no run of the agent may have used yet. Numbers are reserved in blocks,
so the file is written once for many messages; a killed agent leaves the rest of its block unused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from quarterdeck.kit.files import write_private

BLOCK = 1 << 18
_AROUND = 1 << 32

log = logging.getLogger(__name__)


class MessageIds:
    """Gives numbers. Used by one thread. `last_stored`: the newest stored number, used when the file is lost."""

    def __init__(self, path: Path, *, last_stored: int | None) -> None:
        self._path = path
        self._next = self._read(last_stored)
        self._left = 0  # of the reserved block
        self._refused = False

    def take(self, count: int) -> Sequence[int]:
        """Return the next `count` numbers; `count` is far below 2^32."""
        first, self._next = self._next, (self._next + count) % _AROUND
        self._left -= count
        if self._left < 0:
            self._reserve(BLOCK)
        if first + count <= _AROUND:
            return range(first, first + count)
        return list(chain(range(first, _AROUND), range(self._next)))

    def close(self) -> None:
        """Give back what is left of the block."""
        self._reserve(0)

    def _reserve(self, count: int) -> None:
        """Reserve numbers in the file. If the disk refuses, they are given all the same, and a kill may repeat some."""
        try:
            write_private(self._path, str((self._next + count) % _AROUND).encode())
        except OSError as error:
            if not self._refused:
                log.warning("message numbers cannot be set aside in %s: %s", self._path, error)
            self._refused = True
            return
        self._refused = False
        self._left = count

    def _read(self, last_stored: int | None) -> int:
        after = 0 if last_stored is None else (last_stored + 1 + BLOCK) % _AROUND
        try:
            written = self._path.read_bytes()
        except FileNotFoundError:
            return after
        except OSError as error:
            log.warning("%s cannot be read (%s); message numbers go on from %d", self._path, error, after)
            return after
        if not written.isdigit() or int(written) >= _AROUND:
            log.warning("%s holds no number; message numbers go on from %d", self._path, after)
            return after
        return int(written)
