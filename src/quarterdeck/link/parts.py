"""A content on its way to this side of the link: its bytes so far, under a temporary name, and their hash.

What was interrupted goes on where it stopped, also after a kill: the partial file itself is all there is to remember.
Calls block: they belong into a thread. One user at a time, but for `close`, which waits for a call that is under way:
whoever awaits one in a thread may be cancelled before it ends.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from quarterdeck.link.private_files import sync_folder
from quarterdeck.model.errors import QuarterdeckError, StorageFull, Unavailable

#: bytes that are read at one time
STEP_BYTES = 1024 * 1024


class Part:
    """The partial file `path`, opened or made (mode 0600). What the disk refuses is `StorageFull` or `Unavailable`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int = 0
        self._hash = hashlib.sha256()
        self._lock = threading.RLock()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise disk_error(error, path) from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    @property
    def sha256(self) -> str:
        """Of the bytes so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """The next bytes. When the disk does not take them, none are there."""
        view = memoryview(data)
        with self._lock:
            at = self.size
            try:
                while view:
                    written = os.pwrite(self._descriptor, view, at)
                    view, at = view[written:], at + written
            except OSError as error:
                raise disk_error(error, self.path) from error
            self._hash.update(data)
            self.size = at

    def restart(self) -> None:
        """Begin with the first byte again: what is there is not what it should be."""
        with self._lock:
            os.ftruncate(self._descriptor, 0)
            self._hash, self.size = hashlib.sha256(), 0

    def finish(self, target: Path, prepare: Callable[[int], None] | None = None) -> None:
        """On disk, then in the place of `target`, at once. `prepare` gets the descriptor before, for mode and owner."""
        with self._lock:
            try:
                os.ftruncate(self._descriptor, self.size)
                if prepare is not None:
                    prepare(self._descriptor)
                os.fsync(self._descriptor)
                self.path.replace(target)
                self.close()
                sync_folder(target.parent)
            except OSError as error:
                raise disk_error(error, target) from error

    def discard(self) -> None:
        """Remove it."""
        with self._lock:
            self.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave it for another time."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _read(self) -> None:
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise Unavailable(f"{self.path} is not a file.")
            while data := os.pread(self._descriptor, STEP_BYTES, self.size):
                self._hash.update(data)
                self.size += len(data)
        except OSError as error:
            raise disk_error(error, self.path) from error


async def open_part(path: Path, make: Callable[[Path], Part] = Part) -> Part:
    """A `Part`, opened in a thread; when this is cancelled meanwhile it is closed again."""
    opening = asyncio.ensure_future(asyncio.to_thread(make, path))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[Part]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def disk_error(error: OSError, path: Path) -> QuarterdeckError:
    """The error in words: `StorageFull` when there is no room, else `Unavailable`."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(f"There is no room for {path}: {error.strerror}.")
    return Unavailable(f"{path}: {error.strerror or error}.")


def file_sha256(descriptor: int) -> tuple[str, int]:
    """The hash of an open file, and how many bytes it was made of."""
    hashed, size = hashlib.sha256(), 0
    while data := os.pread(descriptor, STEP_BYTES, size):
        hashed.update(data)
        size += len(data)
    return hashed.hexdigest(), size
