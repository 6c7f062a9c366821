"""Transfers contents from this node to the server, which requests them chunk by chunk.

Over each new link unfinished contents are offered again, and continue at the end of the server's copy: after a lost
link, and after a restart of either side. Owns the open offers; the caller provides the bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from weakref import WeakSet, WeakValueDictionary

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.conversation import Conversation, Delegated
from quarterdeck.link.messages import FileChunk, FileOffer, FileStored, WantFile
from quarterdeck.model.errors import Unavailable

#: returns the bytes from an offset on, at most one chunk; called in a thread
Read = Callable[[int], bytes]


class _Offer:
    """A content that is being offered."""

    def __init__(self, message: FileOffer) -> None:
        self.message = message
        self.chunk: FileChunk | None = None  #: to be sent
        self.answers: asyncio.Queue[WantFile | FileStored] = asyncio.Queue()


class Offers:
    """Offers contents to the server. Each content has one offer at a time; different contents run concurrently."""

    takes = (WantFile, FileStored)

    def __init__(self) -> None:
        self._open: dict[str, _Offer] = {}
        self._withdrawn: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._news = asyncio.Event()

    async def send(self, message: FileOffer, read: Read) -> None:
        """Return when the server has the content on disk; wait for a link. Raise `Unavailable` when it refuses it."""
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
        """Take a message of the server. Never waits."""
        offer = self._open.get(message.sha256)
        if offer is not None:
            offer.answers.put_nowait(message)

    def open(self, link: LiveLink) -> Conversation:
        """Open a conversation on a new link."""
        return Delegated(self.received, partial(self.run, link))

    async def run(self, live: LiveLink) -> None:
        """Send offers, and the chunks that the server requests, until the link ends."""
        sent = WeakSet[_Offer]()  # over this link
        self._withdrawn.clear()
        for offer in self._open.values():
            offer.chunk = None
        while True:
            self._news.clear()
            while self._withdrawn:
                await live.send(FileChunk(sha256=self._withdrawn.pop(), offset=0, data=b""))
            for offer in list(self._open.values()):
                if offer not in sent:
                    sent.add(offer)
                    await live.send(offer.message)
                if offer.chunk is not None:
                    chunk, offer.chunk = offer.chunk, None
                    await live.send(chunk)
            await self._news.wait()

    async def _answer(self, offer: _Offer, read: Read) -> bool:
        """Handle the server's next message; return whether it has the whole content."""
        match await offer.answers.get():
            case FileStored(problem=""):
                return True
            case FileStored(problem=problem):
                raise Unavailable(f"The server refused it: {problem}")
            case WantFile(offset=offset):
                data = await asyncio.to_thread(read, offset)
                offer.chunk = FileChunk(sha256=offer.message.sha256, offset=offset, data=data)
                self._news.set()
                return False
