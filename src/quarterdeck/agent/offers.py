"""Contents on their way from this node to the server, which asks for them chunk by chunk.

Over each new link what is not through is offered anew, and goes on where the server's copy ends: after a link was lost,
and after a restart of either side. Owns what was offered and is not stored; where the bytes are is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.messages import FileChunk, FileOffer, FileStored, WantFile
from quarterdeck.model.errors import Unavailable

#: gives the bytes from an offset on, at most one chunk; called in a thread
Read = Callable[[int], bytes]


class _Offer:
    """A content that the server is to have."""

    def __init__(self, message: FileOffer) -> None:
        self.message = message
        self.sent = False
        self.chunk: FileChunk | None = None  #: to be sent
        self.answers: asyncio.Queue[WantFile | FileStored] = asyncio.Queue()


class Offers:
    """Offers contents to the server. Of one content one offer at a time; different ones beside each other."""

    def __init__(self) -> None:
        self._open: dict[str, _Offer] = {}
        self._withdrawn: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._news = asyncio.Event()

    async def send(self, message: FileOffer, read: Read) -> None:
        """Returns when the server has it on disk; waits for a link. `Unavailable` when it will not have it."""
        async with self._locks.setdefault(message.sha256, asyncio.Lock()):
            offer = self._open[message.sha256] = _Offer(message)
            self._news.set()
            stored = False
            try:
                while not stored:
                    stored = await self._answer(offer, read)
            finally:
                del self._open[message.sha256]
                if not stored:
                    self._withdrawn.add(message.sha256)
                    self._news.set()

    def received(self, message: WantFile | FileStored) -> None:
        """The server said this. Never waits."""
        offer = self._open.get(message.sha256)
        if offer is not None:
            offer.answers.put_nowait(message)

    async def run(self, live: LiveLink) -> None:
        """While a link is up."""
        self._withdrawn.clear()
        for offer in self._open.values():
            offer.sent, offer.chunk = False, None
        while True:
            self._news.clear()
            while self._withdrawn:
                await live.send(FileChunk(sha256=self._withdrawn.pop(), offset=0, data=b""))
            for offer in list(self._open.values()):
                if not offer.sent:
                    offer.sent = True
                    await live.send(offer.message)
                if offer.chunk is not None:
                    chunk, offer.chunk = offer.chunk, None
                    await live.send(chunk)
            await self._news.wait()

    async def _answer(self, offer: _Offer, read: Read) -> bool:
        """Does what the server says next; whether it has the whole."""
        match await offer.answers.get():
            case FileStored(problem=""):
                return True
            case FileStored(problem=problem):
                raise Unavailable(f"The server did not take it: {problem}")
            case WantFile(offset=offset):
                data = await asyncio.to_thread(read, offset)
                offer.chunk = FileChunk(sha256=offer.message.sha256, offset=offset, data=data)
                self._news.set()
                return False
