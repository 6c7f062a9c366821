"""The connection of the async client: it sends calls and reads streams. It depends on no noun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from quarterdeck.client import calls
from quarterdeck.client.calls import Call
from quarterdeck.client.endpoint import Endpoint
from quarterdeck.client.streams.absence import Absence, Notice
from quarterdeck.client.streams.stream import RESUME_S, Stream
from quarterdeck.model.errors import TimedOut

T = TypeVar("T")


class Connection:
    """A connection to one server.

    `transport` defaults to httpx's own; `absent` is called when the server does not answer. With `timeout_s` no step of
    a call, such as connecting or reading, takes longer; else each call has its own limit.
    """

    def __init__(
        self, endpoint: Endpoint, *, transport: httpx.AsyncBaseTransport | None, absent: Notice, timeout_s: float | None
    ) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._absent = absent
        if transport is None and endpoint.socket:
            transport = httpx.AsyncHTTPTransport(uds=endpoint.socket)
        # loading the trusted certificates takes the most time, and plain HTTP does not need them
        verify = endpoint.url.startswith("https:")
        self._http = httpx.AsyncClient(base_url=endpoint.url, verify=verify, transport=transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T], content: AsyncIterator[bytes] | None = None) -> T:
        """Send a call, with `content` as its body if given, and return its decoded answer."""
        timeout_s = call.timeout_s if self._timeout_s is None else min(call.timeout_s, self._timeout_s)
        try:
            response = await self._http.request(
                call.method,
                call.path,
                params=call.query,
                content=content or call.body or None,
                headers=call.headers(self.endpoint.token),
                timeout=timeout_s,
            )
        except httpx.TimeoutException as error:
            raise TimedOut(f"{self.endpoint.url} did not answer within {timeout_s:g} s.") from error
        except httpx.TransportError as error:
            raise calls.unreachable(self.endpoint.url, error) from error
        return call.answer(response.status_code, response.content)

    @asynccontextmanager
    async def open(self, request: dict[str, Any]) -> AsyncGenerator[httpx.Response]:
        """Open an answer that is read as it arrives; `request` has the arguments of httpx's `stream`.

        Raise the error of the answer, or httpx's TransportError.
        """
        async with self._http.stream(**request) as response:
            if response.status_code >= 400:
                raise calls.failure(response.status_code, await response.aread())
            yield response

    async def follow(self, stream: Stream[T]) -> AsyncIterator[T]:
        """Yield the events of a stream until it ends. A lost connection is resumed, for `ABSENCE_S`."""
        absence = Absence(self._absent)
        while True:
            try:
                async with self.open(stream.arguments(self.endpoint.token)) as response:
                    absence.over()
                    async for line in response.aiter_lines():
                        for item in stream.feed(line):
                            yield item
            except httpx.TransportError as error:
                if not stream.ended:
                    absence.check(calls.unreachable(self.endpoint.url, error))
            if stream.ended:  # read the answer to its end, so that the connection can be reused
                return
            await asyncio.sleep(RESUME_S)
