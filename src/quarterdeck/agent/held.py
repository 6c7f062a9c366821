"""Files that jobs hold: a file exists while a job holds it, and is removed when the last of these jobs has ended.

Owns the record of which job holds which file. The caller creates files, inside of `holding`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from quarterdeck.kit.files import file_sha256

#: a file that no job holds was left by an agent that was killed; it is removed after this time
UNUSED_S = 86400.0


class HeldFiles:
    """Files whose names begin with the sha256 of their content."""

    def __init__(self) -> None:
        self._held: dict[str, set[Path]] = {}  # job → its files
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def holding(self, job_id: str, path: Path) -> AsyncGenerator[None]:
        """Hold a file for this job until `release`; inside, no other job creates or removes it."""
        self.add(job_id, path)
        async with self._lock(path):  # many jobs may start at once
            yield

    def add(self, job_id: str, path: Path) -> None:
        """Hold another file of the same content, inside of `holding`."""
        self._held.setdefault(job_id, set()).add(path)

    async def release(self, job_id: str) -> None:
        """Release the files of a job that has ended; remove those that no other job holds."""
        gone = self._held.pop(job_id, None)
        if gone is None:  # most jobs hold none, and a thread would delay their results
            return
        left = await asyncio.to_thread(_older, {path.parent for path in gone}, time.time() - UNUSED_S)
        for path in gone | left:
            async with self._lock(path):  # a job that holds it now finds it, or creates it again
                if not any(path in held for held in self._held.values()):
                    await asyncio.to_thread(path.unlink, missing_ok=True)

    def _lock(self, path: Path) -> asyncio.Lock:
        """Return the lock of a content, its copies, and its unfinished files."""
        return self._locks.setdefault(path.stem, asyncio.Lock())


def is_whole(path: Path) -> bool:
    """Return whether the file has the content that its name states."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        return file_sha256(descriptor)[0] == path.name
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _older(folders: Iterable[Path], than: float) -> set[Path]:
    """Return the files in these folders that were last changed before this time."""
    return {path for folder in folders if folder.is_dir() for path in folder.iterdir() if _is_older(path, than)}


def _is_older(path: Path, than: float) -> bool:
    """Return whether the file was last changed before this time; False when it was renamed meanwhile."""
    try:
        return path.lstat().st_mtime < than
    except FileNotFoundError:
        return False
