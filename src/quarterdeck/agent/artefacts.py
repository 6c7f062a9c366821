"""Objects and transforms named by the hash of their bytes: fetched once through the link, verified, kept on disk.

An interrupted fetch goes on at the byte where it stopped. The cache is bounded; what was used longest ago goes first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.messages import ArtefactChunk, WantArtefact
from quarterdeck.link.private_files import write_private
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.modules import Artefact

log = logging.getLogger(__name__)

CACHE_BYTES = 256 * 1024 * 1024


class _Fetch:
    """An artefact on its way here."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.content = bytearray()
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class Artefacts:
    """Owns `folder`, one file for each hash."""

    def __init__(self, folder: Path, *, limit_bytes: int = CACHE_BYTES) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._getting: dict[str, asyncio.Task[bytes]] = {}
        self._fetches: dict[str, _Fetch] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def get(self, artefact: Artefact) -> bytes:
        """Its bytes, from disk or the server; waits for a link. `NotFound`: there is none; `BadInput`: damaged."""
        sha256 = artefact.sha256
        getting = self._getting.get(sha256)
        if getting is None:
            getting = self._getting[sha256] = asyncio.create_task(self._get(artefact))
            getting.add_done_callback(lambda _: self._getting.pop(sha256))
        return await asyncio.shield(getting)

    async def _get(self, artefact: Artefact) -> bytes:
        kept = await asyncio.to_thread(self._read, artefact.sha256)
        if kept is not None:
            return kept
        fetch = self._fetches[artefact.sha256] = _Fetch(artefact)
        self._wanted.put_nowait(artefact.sha256)
        return await fetch.done

    def received(self, chunk: ArtefactChunk) -> None:
        """A piece came; ask for the next one, or finish."""
        fetch = self._fetches.get(chunk.sha256)
        if fetch is None or chunk.offset != len(fetch.content):
            return  # a repeat after a reconnect
        if chunk.size < 0:
            self._fail(fetch, NotFound(f"The server has no artefact '{fetch.artefact.name}' ({chunk.sha256[:12]})."))
            return
        fetch.content += chunk.data
        if len(fetch.content) < chunk.size and chunk.data:
            self._wanted.put_nowait(chunk.sha256)
        elif hashlib.sha256(fetch.content).hexdigest() != chunk.sha256:
            self._fail(fetch, BadInput(f"The artefact '{fetch.artefact.name}' arrived damaged: its hash is another."))
        else:
            self._finish(fetch)

    async def run(self, live: LiveLink) -> None:
        """While a link is up: ask for what is missing, from where it stopped."""
        self._wanted = asyncio.Queue()
        for sha256 in self._fetches:
            self._wanted.put_nowait(sha256)
        while True:
            fetch = self._fetches.get(await self._wanted.get())
            if fetch is not None:
                await live.send(WantArtefact(sha256=fetch.artefact.sha256, offset=len(fetch.content)))

    def _fail(self, fetch: _Fetch, error: Exception) -> None:
        del self._fetches[fetch.artefact.sha256]
        fetch.done.set_exception(error)

    def _finish(self, fetch: _Fetch) -> None:
        del self._fetches[fetch.artefact.sha256]
        content = bytes(fetch.content)
        fetch.done.set_result(content)
        try:
            write_private(self._folder / fetch.artefact.sha256, content)
            self._evict()
        except OSError as error:
            log.warning("the artefact '%s' could not be kept on disk: %s", fetch.artefact.name, error)

    def _read(self, sha256: str) -> bytes | None:
        path = self._folder / sha256
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:
                os.utime(path)
                return content
            log.warning("%s is damaged and is fetched again", path)
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read and is fetched again: %s", path, error)
        return None

    def _evict(self) -> None:
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        size = 0
        for place, path in enumerate(kept):
            size += path.stat().st_size
            if place and size > self._limit:  # the newest stays, however large
                path.unlink(missing_ok=True)
