"""The last desired set, kept on disk: an agent restarted while the server is unreachable starts its modules at once."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from quarterdeck.kit.checked_files import read_checked, write_checked
from quarterdeck.model.desired import DesiredSet

log = logging.getLogger(__name__)


class DesiredFile:
    """Owns the file at `path`.

    A damaged or missing file means no set, which is not an empty one: nothing starts and nothing ends until the server
    sends another at the next connection.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> DesiredSet | None:
        """Return the set that was saved last."""
        try:
            return msgspec.msgpack.decode(read_checked(self._path), type=DesiredSet)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            text = "%s is damaged; what runs goes on, and the rest starts when the server is reached: %s"
            log.warning(text, self._path, error)
            return None

    def save(self, desired: DesiredSet) -> None:
        """Save this set. A full disk only delays the next restart, so it is logged and ignored."""
        try:
            write_checked(self._path, msgspec.msgpack.encode(desired))
        except OSError as error:
            log.warning("the desired set could not be kept in %s: %s", self._path, error)
