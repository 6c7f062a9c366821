"""The last desired set, kept on disk: an agent restarted while the server is away starts its modules at once."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from quarterdeck.link.private_files import write_private
from quarterdeck.model.desired import DesiredSet

log = logging.getLogger(__name__)


class DesiredFile:
    """Owns the file at `path`. A damaged or missing one is no set: the server sends another at the next connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> DesiredSet | None:
        """The set that was saved last."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=DesiredSet)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s is damaged; modules start when the server is reached: %s", self._path, error)
            return None

    def save(self, desired: DesiredSet) -> None:
        """Keep this set. A full disk costs only the head start at the next restart, so it is logged and survived."""
        try:
            write_private(self._path, msgspec.msgpack.encode(desired))
        except OSError as error:
            log.warning("the desired set could not be kept in %s: %s", self._path, error)
