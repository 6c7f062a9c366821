"""The server's end of the streams that HTTP requests carry: what arrived, what waits, what is repeated.

Requests of each direction are numbered from 1. A request that is repeated after a cut gets the answer of the first one
and delivers nothing twice; one out of order ends the stream. Owns no socket; the wire hands it bodies and writes its
answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from quarterdeck.link.https.http import pack, unpack
from quarterdeck.link.messages import encode
from quarterdeck.model.errors import Conflict, QuarterdeckError, TooLarge, Unavailable

_In = TypeVar("_In")

#: frames of one answer, unless one alone is larger
ANSWER_BYTES = 1024 * 1024
#: what waits in each direction; whoever sends more waits
WAITING_FRAMES = 256
WAITING_BYTES = 4 * 1024 * 1024


class EndedOrderly(Exception):
    """The service has finished with the stream; there is no more to fetch."""


class _Line:
    """Frames on their way, at most `WAITING_FRAMES` and `WAITING_BYTES` (or one frame alone)."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes = 0

    @property
    def full(self) -> bool:
        return len(self.frames) >= WAITING_FRAMES or self.bytes >= WAITING_BYTES

    def put(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.bytes += len(frame)

    def take(self) -> bytes:
        frame = self.frames.popleft()
        self.bytes -= len(frame)
        return frame

    def take_answer(self) -> list[bytes]:
        frames = [self.take()]
        size = len(frames[0])
        while self.frames and size + len(self.frames[0]) <= ANSWER_BYTES:
            frames.append(self.take())
            size += len(frames[-1])
        return frames


class ServerStream(Generic[_In]):
    """One stream. `receive` and `send` are the service's; `arrived`, `fetch` and `end` are the wire's."""

    def __init__(self, decode: Callable[[bytes], _In]) -> None:
        self._decode = decode
        self._up, self._down = _Line(), _Line()
        self._changed = asyncio.Condition()
        self._received = 0  # number of the last request up that was taken
        self._fetched = 0  # number of the last answer down
        self._answer = b""  # that answer, until the next is asked for
        self._fetching = 0  # counts fetches, so that a repeat displaces the one it repeats
        self._end: Exception | None = None
        self._broken: QuarterdeckError | None = None
        self._busy = 0
        self.told = asyncio.Event()  #: the agent knows that the stream has ended, or is not there to be told
        self.heard_at = time.monotonic()  #: when a request last came or was last answered

    @property
    def ended(self) -> bool:
        """Whether the service has finished."""
        return self._end is not None

    def silent_s(self) -> float:
        """Seconds since the agent was last heard; 0 while a request of it waits here."""
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
        frame = encode(message)
        async with self._changed:
            await self._changed.wait_for(lambda: not self._down.full or self._broken)
            if self._broken:
                raise self._broken
            self._down.put(frame)
            self._changed.notify_all()

    # ── the wire's side ──────────────────────────────────────────────────────────────────────────────────────────────
    async def end(self, error: Exception) -> None:
        """The service has finished: what was sent is still fetched, then `error`."""
        async with self._changed:
            self._end = self._end or error
            self._changed.notify_all()

    async def break_off(self, error: QuarterdeckError) -> None:
        """The agent is gone, or the server is stopping: `receive` and `send` raise `error`."""
        async with self._changed:
            self._broken = self._broken or error
            self.told.set()
            self._changed.notify_all()

    async def arrived(self, number: int, body: bytes, *, wait_s: float) -> bool:
        """Take the frames of request `number`; False when there was no room for `wait_s`: it is to be repeated."""
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
                if self._end is not None and not self._down.frames:
                    raise self._end
                if number != self._received + 1:
                    raise self._refuse(Conflict(f"Expected request {self._received + 1}, found {number}."))
                self._received = number
                for frame in frames:
                    self._up.put(frame)
                self._changed.notify_all()
                return True

    async def fetch(self, number: int, *, wait_s: float) -> bytes:
        """The answer `number`; empty when there was nothing for `wait_s`: the number is to be asked for again."""
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
                await self._wait(lambda: self._down.frames or self._gone or mine != self._fetching, wait_s)
                if mine != self._fetching:
                    raise Conflict("Another request asks for this answer.")
                if not self._down.frames:
                    if self._end is not None:
                        self.told.set()
                        raise self._end
                    if self._broken is not None:
                        raise self._broken
                    return b""
                self._fetched, self._answer = number, pack(self._down.take_answer())
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
        """The stream ends: what is said in it would no longer be what was sent. The lock is held."""
        self._broken = self._broken or error
        self.told.set()
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
        """The agent is here while a request of it is served."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self.heard_at = time.monotonic()
