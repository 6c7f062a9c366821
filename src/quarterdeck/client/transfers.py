"""Files between this machine and the server: read and written piece by piece, resumed after a cut, checked by hash.

Does no HTTP itself: both clients use this for what is the same in them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from quarterdeck.client.calls import PREFIX, segment
from quarterdeck.model.errors import BadInput, InUse, QuarterdeckError, StorageFull, TimedOut, Unavailable
from quarterdeck.model.files import FileStatus

#: told how many bytes of how many are through
Progress = Callable[[int, int], None]
STEP_BYTES = 1024 * 1024
#: seconds of silence after which a transfer is taken for dead
SILENCE_S = 60.0
#: seconds between a cut and the attempt to go on
RESUME_S = 1.0
#: attempts in a row that bring nothing
ATTEMPTS = 30


class Measured(NamedTuple):
    """What a file holds."""

    sha256: str
    size: int


def measure(path: Path) -> Measured:
    """Reads a file once. Raises OSError."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(STEP_BYTES):
            hashed.update(data)
            size += len(data)
    return Measured(hashed.hexdigest(), size)


def pieces(path: Path, offset: int, size: int, progress: Progress | None) -> Iterator[bytes]:
    """The file's bytes from `offset` to `size`."""
    with path.open("rb") as file:
        file.seek(offset)
        while offset < size and (data := file.read(min(STEP_BYTES, size - offset))):
            yield data
            offset += len(data)
            if progress is not None:
                progress(offset, size)


async def pieces_async(path: Path, offset: int, size: int, progress: Progress | None) -> AsyncIterator[bytes]:
    """The same for the async client."""
    for data in pieces(path, offset, size, progress):
        yield data


class Patience:
    """Decides whether a transfer that was cut is tried again: as long as every few attempts bring something.

    When the server was not even there at the beginning, it is not.
    """

    def __init__(self) -> None:
        self._at = -1
        self._left = 0

    def saw(self, status: FileStatus) -> FileStatus:
        """The server has so much."""
        self._see(status.size)
        return status

    def check(self, error: QuarterdeckError, at: int = -1) -> None:
        """Raises `error` unless trying again may help. `at`: how much is through, where that is known."""
        self._see(at)
        self._left -= 1
        passing = isinstance(error, Unavailable | InUse | TimedOut) and not isinstance(error, StorageFull)
        if not passing or self._left < 0:
            raise error

    def _see(self, at: int) -> None:
        if at > self._at:
            self._at, self._left = at, ATTEMPTS


def whole(path: Path, status: FileStatus) -> FileStatus:
    """`status`, when the server has all; else the file ended before the end that it had before."""
    if not status.complete:
        raise BadInput(f"{path} changed while it was sent.", hint="Try again.")
    return status


class Download:
    """A content on its way into a file: a part beside it that outlives this program; whole, it takes its place."""

    def __init__(self, path: Path, status: FileStatus) -> None:
        self._path = path
        self._status = status
        self._part = path.with_name(f".{path.name[:100]}.{status.sha256[:16]}.part")
        self._file = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
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
        """Whether bytes are still to come."""
        return self.at < self._status.size

    @property
    def size(self) -> int:
        """Of the whole."""
        return self._status.size

    def request(self, token: str) -> dict[str, Any]:
        """What httpx's `stream` takes to go on."""
        headers = {"Authorization": f"Bearer {token}", "Range": f"bytes={self.at}-"}
        path = f"{PREFIX}/files/{segment(self._status.sha256)}"
        return {"method": "GET", "url": path, "headers": headers, "timeout": SILENCE_S}

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._file.write(data)
        self._count(data)

    def finish(self, mode: int) -> None:
        """Puts the whole in its place. `BadInput` when it is not what it should be; then it begins anew."""
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
