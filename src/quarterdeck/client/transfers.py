"""Transfers of files between this machine and the server: in pieces, resumed after an interruption, checked by hash.

It does no HTTP. It has the parts that both clients share.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from quarterdeck.client.calls import PREFIX, segment
from quarterdeck.model.errors import BadInput, InUse, QuarterdeckError, StorageFull, TimedOut, Unavailable
from quarterdeck.model.files import FileStatus

#: called with the number of transferred bytes and the total
Progress = Callable[[int, int], None]
STEP_BYTES = 1024 * 1024
#: seconds of silence after which a transfer is considered broken
SILENCE_S = 60.0
#: seconds between an interruption and the attempt to resume
RESUME_S = 1.0
#: number of consecutive attempts without progress
ATTEMPTS = 30


class Measured(NamedTuple):
    """The sha256 and size of a file."""

    sha256: str
    size: int


def measure(path: Path) -> Measured:
    """Read a file once, and return its sha256 and size. Raise `OSError`."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(STEP_BYTES):
            hashed.update(data)
            size += len(data)
    return Measured(hashed.hexdigest(), size)


def pieces(path: Path, offset: int, size: int, progress: Progress | None) -> Iterator[bytes]:
    """Yield the file's bytes from `offset` to `size`."""
    with path.open("rb") as file:
        file.seek(offset)
        while offset < size and (data := file.read(min(STEP_BYTES, size - offset))):
            yield data
            offset += len(data)
            if progress is not None:
                progress(offset, size)


async def pieces_async(path: Path, offset: int, size: int, progress: Progress | None) -> AsyncIterator[bytes]:
    """Yield the same for the async client."""
    for data in pieces(path, offset, size, progress):
        yield data


class Patience:
    """The decision whether an interrupted transfer is retried: as long as one of several attempts makes progress.

    A transfer is not retried when the server never answered.
    """

    def __init__(self) -> None:
        self._at = -1
        self._left = 0

    def saw(self, status: FileStatus) -> FileStatus:
        """Record the number of bytes that the server has."""
        self._see(status.size)
        return status

    def check(self, error: QuarterdeckError, at: int = -1) -> None:
        """Raise `error` unless a retry may help. `at` is the number of transferred bytes, if known."""
        self._see(at)
        self._left -= 1
        passing = isinstance(error, Unavailable | InUse | TimedOut) and not isinstance(error, StorageFull)
        if not passing or self._left < 0:
            raise error

    def _see(self, at: int) -> None:
        if at > self._at:
            self._at, self._left = at, ATTEMPTS


def whole(path: Path, status: FileStatus) -> FileStatus:
    """Return `status` if the server has the whole content. Raise an error otherwise, since the file became shorter."""
    if not status.complete:
        raise BadInput(f"{path} changed while it was sent.", hint="Try again.")
    return status


def _open_own(path: Path) -> int:
    """Open or create a partial file. Raise `BadInput` when it is a link, or when another user may write to it."""
    descriptor = -1
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        state = os.fstat(descriptor)
        if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and state.st_nlink == 1:
            return descriptor
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EACCES}:
            raise
    if descriptor >= 0:
        os.close(descriptor)
    raise BadInput(f"{path} was created by another user.", hint="Remove it, or choose another folder.")


class Download:
    """A content that is downloaded to a file.

    A partial file next to it survives this program and is renamed when complete.
    """

    def __init__(self, path: Path, status: FileStatus) -> None:
        self._path = path
        self._status = status
        self._part = path.with_name(f".{path.name[:100]}.{status.sha256[:16]}.part")
        self._file = os.fdopen(_open_own(self._part), "r+b")
        self._hash = hashlib.sha256()
        self.at = 0
        while data := self._file.read(STEP_BYTES):
            self._count(data)
        if self.at > status.size:
            self._restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def missing(self) -> bool:
        """Return whether bytes are missing."""
        return self.at < self._status.size

    @property
    def size(self) -> int:
        """Return the total size."""
        return self._status.size

    def request(self, token: str) -> dict[str, Any]:
        """Return the arguments of httpx's `stream` that resume the download."""
        headers = {"Authorization": f"Bearer {token}", "Range": f"bytes={self.at}-"}
        path = f"{PREFIX}/files/{segment(self._status.sha256)}"
        return {"method": "GET", "url": path, "headers": headers, "timeout": SILENCE_S}

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        self._file.write(data)
        self._count(data)

    def finish(self, mode: int) -> None:
        """Move the complete file to its path. Raise `BadInput` if its hash is wrong; the download then starts again."""
        if self._hash.hexdigest() != self._status.sha256:
            self._restart()
            raise BadInput(f"{self._path} arrived damaged.", hint="Try again.")
        self._file.flush()
        os.fchmod(self._file.fileno(), mode)
        os.fsync(self._file.fileno())
        self._part.replace(self._path)

    def _count(self, data: bytes) -> None:
        self._hash.update(data)
        self.at += len(data)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.at = hashlib.sha256(), 0
