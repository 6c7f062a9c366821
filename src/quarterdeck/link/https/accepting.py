"""Accepts connections and gives them a TLS handshake, a few at a time, before their peer is known.

TLS takes hundreds of kilobytes per connection, so a silent peer gets none, and the number of simultaneous handshakes is
limited, in total and for each address. The oldest connections without a handshake are closed before the port is full
(`Strangers`). Owns the listening sockets; it does not depend on HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from quarterdeck.kit.strangers import Strangers, customer
from quarterdeck.kit.tasks import TaskSet, cancel
from quarterdeck.link.https.http import HEAD_LIMIT_BYTES

log = logging.getLogger(__name__)

#: from the accepted connection to the end of its handshake
HANDSHAKE_TIMEOUT_S = 10.0
#: handshakes at a time, in total and for one address
HANDSHAKES, HANDSHAKES_OF_ONE = 128, 16
_BACKLOG = 1024
_PAUSE_S = 1.0  # after the system has refused a connection for lack of a descriptor or of memory

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Acceptor:
    """Listens at host and port. `context` is called for each handshake; `serve` gets peers with a certificate."""

    def __init__(
        self, context: Callable[[], ssl.SSLContext], serve: Serve, *, connections: int, handshake_timeout_s: float
    ) -> None:
        self._context = context
        self._serve = serve
        self._limit = connections
        self._timeout_s = handshake_timeout_s
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._connections = TaskSet()
        self._room = Strangers(limit=connections)
        self._handshaking = Counter[str]()  # connections without a completed handshake, by customer
        self._handshakes = asyncio.Semaphore(HANDSHAKES)
        self._of_one: dict[str, asyncio.Semaphore] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen; return the bound port. Raise `OSError` when that fails."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listening = socket.create_server((address[0], port), family=family, backlog=_BACKLOG)
                listening.setblocking(False)
                self._listening.append(listening)
                port = listening.getsockname()[1]
        except BaseException:
            self.close()
            raise
        self._room.start(port)
        self._accepting = [asyncio.create_task(self._accept(each), name="link accept") for each in self._listening]
        return port

    def close(self) -> None:
        """Stop listening; existing connections stay."""
        for task in self._accepting:
            task.cancel()
        for listening in self._listening:
            listening.close()

    async def end(self) -> None:
        """Close every connection."""
        await cancel(*self._accepting, *self._connections)
        await self._room.stop()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, (host, port, *_) = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("connections cannot be accepted now: %s", error)
                await asyncio.sleep(_PAUSE_S)
                continue
            if len(self._connections) >= self._limit:
                log.warning("refused a connection from %s: too many are open", host)
                accepted.close()
                continue
            self._connections.spawn(self._take(accepted, host, port))

    async def _take(self, accepted: socket.socket, host: str, port: int) -> None:
        who = customer(host)
        self._handshaking[who] += 1
        try:
            reader, writer = await self._secured(accepted, who)
            self._room.admit(host, port)
        except (OSError, TimeoutError) as error:
            accepted.close()
            if not isinstance(error, TimeoutError):
                log.warning(
                    "refused %s port %d: it did not complete the TLS handshake with a certificate of this fleet"
                    " (foreign or expired certificate, unknown join token, or not an agent): %s",
                    host,
                    port,
                    error,
                )
            return
        except BaseException:
            accepted.close()
            raise
        finally:
            self._handshaking[who] -= 1
            self._handshaking += Counter()  # drops those that are at zero
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()

    async def _secured(self, accepted: socket.socket, who: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        accepted.setblocking(False)
        async with asyncio.timeout(self._timeout_s):
            await _spoken(accepted)
            async with self._handshake(who):
                reader = asyncio.StreamReader(limit=HEAD_LIMIT_BYTES)
                protocol = asyncio.StreamReaderProtocol(reader)
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol, accepted, ssl=self._context(), ssl_handshake_timeout=self._timeout_s
                )
                return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    @asynccontextmanager
    async def _handshake(self, who: str) -> AsyncGenerator[None]:
        """Wait for one of the handshakes that may run at a time."""
        of_one = self._of_one.setdefault(who, asyncio.Semaphore(HANDSHAKES_OF_ONE))
        try:
            async with of_one, self._handshakes:
                yield
        finally:
            if self._handshaking[who] <= 1:  # it was the last one
                self._of_one.pop(who, None)


async def _spoken(accepted: socket.socket) -> None:
    """Wait for the first byte, without consuming it."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(accepted, lambda: readable.done() or readable.set_result(None))
    try:
        await readable
    finally:
        loop.remove_reader(accepted)
