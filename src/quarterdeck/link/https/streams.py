"""The server's end of the streams over HTTP requests: received frames, waiting frames, and repeated requests.

Requests of each direction are numbered from 1. A request that is repeated after a disconnect gets the answer of the
first one and delivers nothing twice; one out of order ends the stream. Owns no socket; the wire passes bodies in and
writes the answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from quarterdeck.link.frames import encode
from quarterdeck.link.https.http import pack, unpack
from quarterdeck.link.outgoing import WAITING_FRAMES, FrameQueue, Outgoing
from quarterdeck.model.errors import Conflict, QuarterdeckError, TooLarge, Unavailable

_In = TypeVar("_In")

#: frames of one answer, unless one alone is larger
ANSWER_BYTES = 1024 * 1024


class EndedOrderly(Exception):
    """The service has finished with the stream; there is no more to fetch."""


class ServerStream(Generic[_In]):
    """One stream. The service calls `receive` and `send`; the wire calls `arrived`, `fetch` and `end`."""

    def __init__(self, decode: Callable[[bytes], _In]) -> None:
        self._decode = decode
        self._up, self._down = FrameQueue(), Outgoing()
        self._changed = asyncio.Condition()
        self._received = 0  # number of the last request up that was taken
        self._fetched = 0  # number of the last answer down
        self._answer = b""  # that answer, until the next is requested
        self._fetching = 0  # counts fetches, so that a repeated fetch replaces the earlier one
        self._end: Exception | None = None
        self._broken: QuarterdeckError | None = None
        self._busy = 0
        self.end_known = asyncio.Event()  #: the agent knows that the stream has ended, or is offline
        self.heard_at = time.monotonic()  #: when a request last came or was last answered

    @property
    def ended(self) -> bool:
        """Return whether the service has finished."""
        return self._end is not None

    def silent_s(self) -> float:
        """Return the seconds since the agent was last heard; 0 while one of its requests waits here."""
        return 0.0 if self._busy else time.monotonic() - self.heard_at

    # ── the service's side ───────────────────────────────────────────────────────────────────────────────────────────
    async def receive(self) -> _In | None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._up.frames or self._broken)
            if not self._up.frames:
                raise self._broken or Unavailable()
            frame = self._up.take()
            self._changed.notify_all()
        return self._decode(frame)

    async def send(self, message: msgspec.Struct) -> None:
        frame, queue = encode(message), self._down.queue(message)
        async with self._changed:
            await self._changed.wait_for(lambda: not queue.full or self._broken)
            if self._broken:
                raise self._broken
            queue.put(frame)
            self._changed.notify_all()

    # ── the wire's side ──────────────────────────────────────────────────────────────────────────────────────────────
    async def end(self, error: Exception) -> None:
        """End the stream after the service has finished: sent frames are still fetched, then `error`."""
        async with self._changed:
            self._end = self._end or error
            self._changed.notify_all()

    async def break_off(self, error: QuarterdeckError) -> None:
        """End the stream without the agent or the service: `receive` and `send` raise `error`."""
        async with self._changed:
            self._broken = self._broken or error
            self.end_known.set()
            self._changed.notify_all()

    async def arrived(self, number: int, body: bytes, *, wait_s: float) -> bool:
        """Take the frames of request `number`; return False to have it repeated, as the queue stayed full."""
        with self._heard():
            async with self._changed:
                if number <= self._received:
                    return True
                frames = self._unpacked(body)
                if not await self._wait(lambda: not self._up.full or self._gone or number <= self._received, wait_s):
                    return False
                if number <= self._received:
                    return True
                if self._broken is not None:
                    raise self._broken
                if self._end is not None and not self._down:
                    raise self._end
                if number != self._received + 1:
                    raise self._refuse(Conflict(f"Expected request {self._received + 1}, found {number}."))
                self._received = number
                for frame in frames:
                    self._up.put(frame)
                self._changed.notify_all()
                return True

    async def fetch(self, number: int, *, wait_s: float) -> bytes:
        """Return answer `number`; empty when nothing arrived for `wait_s`: the number is to be requested again."""
        with self._heard():
            async with self._changed:
                if number == self._fetched and number:
                    return self._answer
                if number != self._fetched + 1:
                    wanted = f"Expected to be asked for answer {self._fetched + 1}, found {number}."
                    raise self._refuse(Conflict(wanted))
                self._fetching += 1
                mine = self._fetching
                self._changed.notify_all()
                await self._wait(lambda: self._down or self._gone or mine != self._fetching, wait_s)
                if mine != self._fetching:
                    raise Conflict("Another request asks for this answer.")
                if not self._down:
                    if self._end is not None:
                        self.end_known.set()
                        raise self._end
                    if self._broken is not None:
                        raise self._broken
                    return b""
                frames = self._down.take(limit_frames=WAITING_FRAMES, limit_bytes=ANSWER_BYTES)
                self._fetched, self._answer = number, pack(frames)
                self._changed.notify_all()
                return self._answer

    @property
    def _gone(self) -> bool:
        return self._end is not None or self._broken is not None

    def _unpacked(self, body: bytes) -> list[bytes]:
        try:
            frames = unpack(body)
        except QuarterdeckError as error:
            raise self._refuse(error) from error
        if len(frames) > WAITING_FRAMES:
            raise self._refuse(TooLarge(f"{len(frames)} messages are over the limit of {WAITING_FRAMES} a request."))
        return frames

    def _refuse(self, error: QuarterdeckError) -> QuarterdeckError:
        """End the stream, whose data would no longer be complete. The lock is held."""
        self._broken = self._broken or error
        self.end_known.set()
        self._changed.notify_all()
        return error

    async def _wait(self, condition: Callable[[], object], wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait_for(lambda: bool(condition()))
        except TimeoutError:
            return bool(condition())
        return True

    @contextmanager
    def _heard(self) -> Generator[None]:
        """Count the agent as heard while one of its requests is served."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self.heard_at = time.monotonic()
