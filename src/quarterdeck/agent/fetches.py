"""Contents on their way from the server to this node, chunk by chunk, each verified by its hash.

A fetch goes on where its part ends: after a link was lost, and after a restart of the agent, whose part is on disk.
Owns what was asked of the server and has not come; where the bytes go is the caller's.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Protocol
from weakref import WeakValueDictionary

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.messages import ArtefactChunk, WantArtefact
from quarterdeck.model.errors import BadInput, NotFound


class Sink(Protocol):
    """Where a content goes; calls may block. `link.parts.Part` is one."""

    size: int

    @property
    def sha256(self) -> str: ...

    def write(self, data: bytes) -> None: ...

    def restart(self) -> None: ...


class MemorySink:
    """A small content in memory, for when the disk has no room."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of the bytes so far."""
        return hashlib.sha256(self.content).hexdigest()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self.content += data
        self.size = len(self.content)

    def restart(self) -> None:
        """Begin anew."""
        self.content.clear()
        self.size = 0


class _Want:
    """A chunk that was asked for, or will be when there is a link."""

    def __init__(self, sha256: str, offset: int) -> None:
        self.sha256 = sha256
        self.offset = offset
        self.sent = False
        self.chunk: asyncio.Future[ArtefactChunk] = asyncio.get_running_loop().create_future()


class Fetches:
    """Asks the server. Of one content one fetch at a time; different ones beside each other."""

    def __init__(self) -> None:
        self._wants: dict[str, _Want] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._news = asyncio.Event()

    async def fetch(self, sha256: str, sink: Sink, *, name: str) -> None:
        """Fills `sink`; waits for a link. `NotFound`: the server has none; `BadInput`: it came damaged."""
        async with self._locks.setdefault(sha256, asyncio.Lock()):
            began = sink.size
            if await self._fill(sha256, sink, name=name):
                return
            await asyncio.to_thread(sink.restart)
            # what lay here from before may be what is wrong: the disk may have lost some of it
            if not began or not await self._fill(sha256, sink, name=name):
                await asyncio.to_thread(sink.restart)
                raise BadInput(f"'{name}' arrived damaged: its hash is not {sha256[:12]}…", hint="Try it again.")

    def received(self, chunk: ArtefactChunk) -> None:
        """A piece came. Never waits."""
        want = self._wants.get(chunk.sha256)
        if want is not None and want.offset == chunk.offset and not want.chunk.done():
            want.chunk.set_result(chunk)  # anything else is a repeat after a reconnect

    async def run(self, live: LiveLink) -> None:
        """While a link is up: ask for what is missing."""
        for want in self._wants.values():
            want.sent = False
        while True:
            self._news.clear()
            for want in list(self._wants.values()):
                if not want.sent and not want.chunk.done():
                    want.sent = True
                    await live.send(WantArtefact(sha256=want.sha256, offset=want.offset))
            await self._news.wait()

    async def _fill(self, sha256: str, sink: Sink, *, name: str) -> bool:
        """Writes what is missing; whether the whole has this hash."""
        if sink.size and sink.sha256 == sha256:
            return True
        asked = self._ask(sha256, sink.size)
        try:
            while True:
                chunk = await asked.chunk
                if chunk.size < 0:
                    raise NotFound(
                        chunk.problem or f"The server has nothing with the hash of '{name}' ({sha256[:12]})."
                    )
                following = chunk.offset + len(chunk.data)
                if chunk.data and following < chunk.size:
                    asked = self._ask(sha256, following)  # comes while this one is written
                await asyncio.to_thread(sink.write, chunk.data)
                if not chunk.data or following >= chunk.size:
                    return sink.sha256 == sha256
        finally:
            self._wants.pop(sha256, None)

    def _ask(self, sha256: str, offset: int) -> _Want:
        want = self._wants[sha256] = _Want(sha256, offset)
        self._news.set()
        return want
