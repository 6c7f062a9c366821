"""A content that is being received: its bytes so far, in a temporary file, and their hash.

An interrupted transfer continues where it stopped, also after a kill: the partial file is its only state. Calls block:
run them in a thread. One user at a time, except for `close`, which waits for a call that is running: a caller that
awaits one in a thread may be cancelled before it ends.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from quarterdeck.kit.files import STEP_BYTES, open_own, sync_folder

#: creates the error to raise when the disk refuses a call on this path
Refused = Callable[[OSError, Path], Exception]
#: bytes of zeros that become a hole
HOLE_BYTES = 4096
_ZEROS = bytes(HOLE_BYTES)


class Part:
    """The partial file `path`, opened or created (mode 0600). Raises `StorageFull` or `Unavailable` for the disk."""

    def __init__(self, path: Path, *, refused: Refused) -> None:
        self.path = path
        self._refused = refused
        self.size: int = 0
        self._hash = hashlib.sha256()
        self._lock = threading.RLock()
        self.sparse = False  #: blocks of zeros become holes
        self.keep_free_bytes = 0  #: bytes of the disk that it always leaves free
        try:
            self._descriptor = open_own(path)
        except OSError as error:
            raise self._refused(error, path) from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes so far."""
        return self._hash.hexdigest()

    def expect(self, size: int) -> None:
        """Raise `StorageFull` unless the rest of a content of `size` bytes fits."""
        folder, coming = self.path.parent, size - self.size
        free = shutil.disk_usage(folder).free - self.keep_free_bytes
        if coming > max(0, free):
            kept = f" beyond the {self.keep_free_bytes} that stay free" if self.keep_free_bytes else ""
            full = OSError(errno.ENOSPC, f"{coming} bytes are to come, and {free} are free{kept}")
            raise self._refused(full, folder)

    def write(self, data: bytes) -> None:
        """Append bytes. When the disk refuses some of them, none are appended."""
        view = memoryview(data)
        with self._lock:
            at = self.size
            try:
                while view:
                    skipped = self._hole(view, at)
                    written = skipped or os.pwrite(self._descriptor, view[:HOLE_BYTES] if self.sparse else view, at)
                    view, at = view[written:], at + written
            except OSError as error:
                raise self._refused(error, self.path) from error
            self._hash.update(data)
            self.size = at

    def restart(self) -> None:
        """Start again with the first byte, because the bytes so far are wrong."""
        with self._lock:
            os.ftruncate(self._descriptor, 0)
            self._hash, self.size = hashlib.sha256(), 0

    def finish(self, target: Path, prepare: Callable[[int], None] | None = None) -> None:
        """Put the content on disk, then atomically in the place of `target`. `prepare` gets the descriptor before."""
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
                raise self._refused(error, target) from error

    def discard(self) -> None:
        """Remove the partial file."""
        with self._lock:
            self.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the partial file, to be continued later."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _hole(self, view: memoryview, at: int) -> int:
        """Return the number of bytes that need not be written: zeros beyond the end of the file on disk."""
        zeros = self.sparse and at % HOLE_BYTES == 0 and bytes(view[:HOLE_BYTES]) == _ZEROS
        return HOLE_BYTES if zeros and os.fstat(self._descriptor).st_size <= at else 0

    def _read(self) -> None:
        try:
            while data := os.pread(self._descriptor, STEP_BYTES, self.size):
                self._hash.update(data)
                self.size += len(data)
        except OSError as error:
            raise self._refused(error, self.path) from error


async def open_part(make: Callable[[], Part]) -> Part:
    """Open a `Part` in a thread; close it again when the call is cancelled meanwhile."""
    opening = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[Part]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
