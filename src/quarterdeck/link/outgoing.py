"""Messages on their way to the other side: control messages first, large ones after them, each queue with a limit.

A `Writer` passes them to the wire in its own task. A sender only waits for space in a queue, so its cancellation, at
any time, never affects the other senders of the stream. Messages of one kind, control or bulk, keep their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from quarterdeck.kit.tasks import cancel
from quarterdeck.link.messages import ArtefactChunk, FileChunk, FileOffer, MessagesFound, TelemetryBatch
from quarterdeck.model.errors import Unavailable

#: limits of the control queue; a sender waits while it is full
WAITING_FRAMES, WAITING_BYTES = 256, 4 * 1024 * 1024
#: the same for bulk messages: little, because they are created on request
BULK_BYTES = 1024 * 1024
#: pages of messages, contents with their offers, rows
_BULK = (MessagesFound, FileOffer, FileChunk, ArtefactChunk, TelemetryBatch)


def is_bulk(message: msgspec.Struct) -> bool:
    """Return whether the message yields to control messages."""
    return isinstance(message, _BULK)


class FrameQueue:
    """Frames in order, at most `WAITING_FRAMES` and `limit_bytes` (or a single frame)."""

    def __init__(self, *, limit_bytes: int = WAITING_BYTES) -> None:
        self.frames: deque[bytes] = deque()
        self.size = 0
        self.turn = asyncio.Lock()  #: held by the sender that waits for space, so that none overtakes it
        self._limit_bytes = limit_bytes

    @property
    def full(self) -> bool:
        """Return whether a sender must wait."""
        return len(self.frames) >= WAITING_FRAMES or self.size >= self._limit_bytes

    def put(self, frame: bytes) -> None:
        """Append a frame."""
        self.frames.append(frame)
        self.size += len(frame)

    def take(self) -> bytes:
        """Remove the first frame."""
        frame = self.frames.popleft()
        self.size -= len(frame)
        return frame


class Outgoing:
    """The frames that wait for the wire."""

    def __init__(self) -> None:
        self.control, self.bulk = FrameQueue(), FrameQueue(limit_bytes=BULK_BYTES)

    def __bool__(self) -> bool:
        return bool(self.control.frames or self.bulk.frames)

    def queue(self, message: msgspec.Struct) -> FrameQueue:
        """Return the queue of this message."""
        return self.bulk if is_bulk(message) else self.control

    def take(self, *, limit_frames: int = 1, limit_bytes: int = 0) -> list[bytes]:
        """Return the next frames within both limits, or a single one."""
        taken: list[bytes] = []
        room = limit_bytes
        for queue in (self.control, self.bulk):
            while queue.frames and (not taken or (len(taken) < limit_frames and len(queue.frames[0]) <= room)):
                taken.append(queue.take())
                room -= len(taken[-1])
        return taken


class Writer:
    """Sends over one stream. `write` passes waiting frames to the wire; its error ends the stream for all senders."""

    def __init__(self, write: Callable[[Outgoing], Awaitable[None]]) -> None:
        self._write = write
        self._outgoing = Outgoing()
        self._room = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None  # running while frames wait
        self._error: Exception | None = None

    async def send(self, message: msgspec.Struct, frame: bytes) -> None:
        """Queue a message as its frame; wait for space. Raise the reason if the stream has ended."""
        queue = self._outgoing.queue(message)
        async with queue.turn:
            while queue.full and self._error is None:
                self._room.clear()
                await self._room.wait()
            if self._error is not None:
                raise self._error
            queue.put(frame)
        if not self.busy:
            self._writing = asyncio.create_task(self._work())

    @property
    def busy(self) -> bool:
        """Return whether frames are waiting or being written."""
        return self._writing is not None and not self._writing.done()

    async def drain(self) -> None:
        """Wait until the wire has accepted all queued frames, or has failed."""
        while self._writing is not None and self.busy:
            await asyncio.wait({self._writing})

    async def close(self) -> None:
        """Discard the waiting frames, and refuse further ones."""
        self._end(Unavailable("The link is closed."))
        if self._writing is not None:
            await cancel(self._writing)

    async def _work(self) -> None:
        try:
            while self._outgoing:
                await self._write(self._outgoing)
                self._room.set()
        except asyncio.CancelledError:  # by `close`, or by the wire, which was given up
            self._end(Unavailable("The link was cancelled."))
            raise
        except Exception as error:  # noqa: BLE001 (the senders raise it)
            self._end(error)

    def _end(self, error: Exception) -> None:
        self._error = self._error or error
        self._room.set()
