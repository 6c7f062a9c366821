"""The server's end of one connection: reads one request after the other, and answers each before the next.

A long poll ends when its connection does, so that a waiting request never keeps a disconnected peer online. It does not
interpret requests.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Coroutine
from typing import Any

from quarterdeck.kit.tasks import cancel
from quarterdeck.link.https.errors import to_answer
from quarterdeck.link.https.http import Head, read_body, read_head, write_message
from quarterdeck.model.errors import BadFrame, NotFound, QuarterdeckError, Unavailable

#: a connection without a request is closed after this time
IDLE_S = 90.0
#: the agent must read an answer within this time
ANSWER_TIMEOUT_S = 60.0
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[Head, str, bytes], Coroutine[Any, Any, Answer]]


class ServerConnection:
    """Reads requests to `known` paths; a body is read only after its head was accepted."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, known: Callable[[str], bool]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._known = known

    async def serve(self, handler: Handler) -> None:
        """Serve until the agent closes, is idle, or sends an invalid request."""
        while True:
            try:
                head = await read_head(self._reader, idle_s=IDLE_S)
                if head is None:
                    return
                path = self._path(head)
                body = await read_body(self._reader, head.length)
            except Unavailable:
                return
            except QuarterdeckError as error:
                await self._write(*to_answer(error), close=True)
                return
            except (OSError, ValueError):
                return
            try:
                answer = await self._while_here(handler(head, path, body))
                if answer is None:
                    return
                await self._write(*answer)
            except (OSError, TimeoutError):
                return

    async def _while_here(self, answering: Coroutine[Any, Any, Answer]) -> Answer | None:
        """Return the answer; None when the agent disconnected, or sent data before the answer (ours never does)."""
        answer = asyncio.create_task(answering)
        left = asyncio.create_task(self._reader.read(1))
        try:
            await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        finally:
            await cancel(answer, left)

    def _path(self, head: Head) -> str:
        method, path = head.request()
        if "upgrade" in head.headers or "expect" in head.headers:
            raise BadFrame("Expected a plain request, found one that asks for more.")
        if method != "POST" or not self._known(path):
            raise NotFound("The link has no such path.")
        return path

    async def _write(self, status: int, headers: dict[str, str], body: bytes, *, close: bool = False) -> None:
        start = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"
        ended = {"connection": "close"} if close else {}
        kind = {"content-type": "application/octet-stream", "cache-control": "no-store"}
        self._writer.write(write_message(start, {**kind, **headers, **ended}, body))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._writer.drain()
