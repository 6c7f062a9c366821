"""Errors of the model for the errors of a disk. This module reads and writes nothing."""

from __future__ import annotations

import errno
from pathlib import Path

from quarterdeck.model.errors import QuarterdeckError, StorageFull, Unavailable

#: what the system says when there is no room, on the disk or in the user's quota
NO_ROOM = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def disk_error(error: OSError, path: Path) -> QuarterdeckError:
    """Return the error in words: `StorageFull` when there is no room, else `Unavailable`."""
    if error.errno in NO_ROOM:
        return StorageFull(f"There is no room for {path}: {error.strerror}.")
    if error.errno == errno.EBUSY:
        return Unavailable(
            f"{path} cannot be replaced: something is mounted on it, as on /etc/hostname in containers.",
            hint="Change what is mounted there, or write into it: qd run -- sh -c 'cat NEW > FILE'.",
        )
    return Unavailable(f"{path}: {error.strerror or error}.")
