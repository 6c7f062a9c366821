"""Objects, transforms and scripts named by the hash of their bytes: fetched once, verified, kept on disk.

An interrupted fetch continues at the byte where it stopped, also after a restart. The cache is bounded; the least
recently used content is removed first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from quarterdeck.agent.fetches import Fetches, MemorySink
from quarterdeck.kit.files import file_sha256
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.files import check_sha256
from quarterdeck.model.modules import Artefact

log = logging.getLogger(__name__)

CACHE_BYTES = 256 * 1024 * 1024


class Artefacts:
    """Owns `folder`, one file for each hash."""

    def __init__(self, folder: Path, *, fetches: Fetches, limit_bytes: int = CACHE_BYTES) -> None:
        self._folder = folder
        self._fetches = fetches
        self._limit = limit_bytes
        self._getting: dict[str, asyncio.Task[Path]] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def get(self, artefact: Artefact) -> bytes:
        """Return its bytes, from disk or the server; wait for a link. Raise `NotFound`, or `BadInput` when damaged."""
        try:
            path = await self.path(artefact.sha256, artefact.name)
            return await asyncio.to_thread(path.read_bytes)
        except (StorageFull, OSError) as error:
            log.warning("the artefact '%s' is not kept on disk: %s", artefact.name, error)
        sink = MemorySink()
        await self._fetches.fetch(artefact.sha256, sink, name=artefact.name)
        return bytes(sink.content)

    async def path(self, sha256: str, name: str) -> Path:
        """Return the file that holds it; wait for a link. Open it soon: the least recently used file may be removed.

        Raise `NotFound` when the server does not have it; `BadInput` when it arrived damaged; `StorageFull`.
        """
        getting = self._getting.get(check_sha256(sha256))
        if getting is None:
            getting = self._getting[sha256] = asyncio.create_task(self._get(sha256, name))
            getting.add_done_callback(lambda _: self._getting.pop(sha256))
        return await asyncio.shield(getting)

    async def _get(self, sha256: str, name: str) -> Path:
        path = self._folder / sha256
        if await asyncio.to_thread(self._is_kept, path):
            return path
        await self._fetches.file(sha256, path, name=name)
        await asyncio.to_thread(self._evict, path)
        return path

    def _is_kept(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("%s cannot be read and is fetched again: %s", path, error)
            return False
        try:
            if file_sha256(descriptor)[0] == path.name:
                os.utime(path)
                return True
            log.warning("%s is damaged and is fetched again", path)
        except OSError as error:
            log.warning("%s cannot be read and is fetched again: %s", path, error)
        finally:
            os.close(descriptor)
        return False

    def _evict(self, newest: Path) -> None:
        """Reduce the cache to its limit, except for `newest`, however large, and contents that are being fetched."""
        sizes: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            if path.suffix and path.stem in self._getting:
                continue
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            sizes.append((state.st_mtime, state.st_size, path))
        size = newest.stat().st_size
        for _, each, path in sorted(sizes, reverse=True):
            if path == newest:
                continue
            size += each
            if size > self._limit:
                path.unlink(missing_ok=True)
