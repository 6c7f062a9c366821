"""Transfers contents from the server to this node, chunk by chunk, each verified by its hash.

A fetch continues at the end of its part: after a lost link, and after a restart of the agent, whose part is on disk.
Owns the open requests to the server; the caller decides where the bytes go.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from pathlib import Path
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from quarterdeck.agent.connection import LiveLink
from quarterdeck.kit.part_files import Part, open_part
from quarterdeck.link.conversation import Conversation, Delegated
from quarterdeck.link.messages import ArtefactChunk, WantArtefact
from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import BadInput, NotFound, QuarterdeckError


class Sink(Protocol):
    """The destination of a content; calls may block. `kit.part_files.Part` is one."""

    size: int

    @property
    def sha256(self) -> str: ...

    def expect(self, size: int) -> None: ...

    def write(self, data: bytes) -> None: ...

    def restart(self) -> None: ...


class MemorySink:
    """A small content in memory, for when the disk is full."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes so far."""
        return hashlib.sha256(self.content).hexdigest()

    def expect(self, size: int) -> None:
        """Note the size of the whole content."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self.content += data
        self.size = len(self.content)

    def restart(self) -> None:
        """Start again."""
        self.content.clear()
        self.size = 0


class _Want:
    """A chunk that was requested, or will be when there is a link."""

    def __init__(self, sha256: str, offset: int) -> None:
        self.sha256 = sha256
        self.offset = offset
        self.chunk: asyncio.Future[ArtefactChunk] = asyncio.get_running_loop().create_future()


class Fetches:
    """Requests contents from the server. Each content has one fetch at a time; different contents run concurrently."""

    takes = (ArtefactChunk,)

    def __init__(self) -> None:
        self._wants: dict[str, _Want] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._news = asyncio.Event()

    async def fetch(self, sha256: str, sink: Sink, *, name: str) -> None:
        """Fill `sink`; wait for a link. Raise `NotFound`, or `BadInput` when the content arrived damaged."""
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            began = sink.size
            if await self._fill(sha256, sink, name=name):
                return
            await asyncio.to_thread(sink.restart)
            # an earlier part may be what is wrong: the disk may have lost some of it
            if not began or not await self._fill(sha256, sink, name=name):
                await asyncio.to_thread(sink.restart)
                raise BadInput(f"'{name}' arrived damaged: its hash is not {sha256[:12]}…", hint="Try it again.")

    async def file(self, sha256: str, path: Path, *, name: str, keep_free_bytes: int = 0) -> None:
        """Fetch a content into the file `path`, which appears once it is complete; keep this much of the disk free.

        Raise as `fetch`, and `StorageFull`. A cancelled fetch leaves its part, and the next one continues it.
        """
        part = await open_part(lambda: Part(path.with_name(f"{path.name}.part"), refused=disk_error))
        part.keep_free_bytes = keep_free_bytes
        try:
            await self.fetch(sha256, part, name=name)
            await asyncio.to_thread(part.finish, path)
        except QuarterdeckError:  # a failed part is not worth continuing; an interrupted one is
            part.discard()
            raise
        finally:
            part.close()

    def received(self, chunk: ArtefactChunk) -> None:
        """Take a chunk. Never waits."""
        want = self._wants.get(chunk.sha256)
        if want is not None and want.offset == chunk.offset and not want.chunk.done():
            want.chunk.set_result(chunk)  # anything else is a repeat after a reconnect

    def open(self, link: LiveLink) -> Conversation:
        """Open a conversation on a new link."""
        return Delegated(self.received, partial(self.run, link))

    async def run(self, live: LiveLink) -> None:
        """Request missing chunks until the link ends."""
        sent = WeakSet[_Want]()  # over this link
        while True:
            self._news.clear()
            for want in list(self._wants.values()):
                if want not in sent and not want.chunk.done():
                    sent.add(want)
                    await live.send(WantArtefact(sha256=want.sha256, offset=want.offset))
            await self._news.wait()

    async def _fill(self, sha256: str, sink: Sink, *, name: str) -> bool:
        """Write what is missing; return whether the whole content has this hash."""
        if sink.size and sink.sha256 == sha256:
            return True
        asked, size = self._ask(sha256, sink.size), -1
        try:
            while True:
                chunk = await asked.chunk
                if chunk.size < 0:
                    raise NotFound(
                        chunk.problem or f"The server has nothing with the hash of '{name}' ({sha256[:12]})."
                    )
                if chunk.size != size:
                    size = chunk.size
                    await asyncio.to_thread(sink.expect, size)
                following = chunk.offset + len(chunk.data)
                if chunk.data and following < chunk.size:
                    asked = self._ask(sha256, following)  # arrives while this one is written
                await asyncio.to_thread(sink.write, chunk.data)
                if not chunk.data or following >= chunk.size:
                    return sink.sha256 == sha256
        finally:
            self._wants.pop(sha256, None)

    def _ask(self, sha256: str, offset: int) -> _Want:
        want = self._wants[sha256] = _Want(sha256, offset)
        self._news.set()
        return want
