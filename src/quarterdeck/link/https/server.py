"""The server's end of the https wire: listens with mutual TLS, reads requests, and passes each stream to the service.

Paths: `{prefix}/link/join`, and `{prefix}/link/KIND/ID/up/N`, `…/down/N`, `…/end` of the kinds control and telemetry;
any prefix is accepted. A stream belongs to the certificate that opened it. TLS material is requested at every
connection, so renewed certificates and new join tokens take effect at once. The service decides whom a certificate
belongs to.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from quarterdeck.kit.tasks import TaskSet
from quarterdeck.link.frames import decode_from_agent, decode_join_request, decode_telemetry_batch, encode
from quarterdeck.link.https.accepting import HANDSHAKE_TIMEOUT_S, Acceptor
from quarterdeck.link.https.connection import ServerConnection
from quarterdeck.link.https.errors import GONE, OK, to_answer
from quarterdeck.link.https.http import Head
from quarterdeck.link.https.streams import EndedOrderly, ServerStream
from quarterdeck.link.https.tls import server_context
from quarterdeck.link.wire import LinkService, Peer, ServerCredentials, linked
from quarterdeck.model.errors import BadConfig, Conflict, NotFound, QuarterdeckError, TooLarge, Unavailable

log = logging.getLogger(__name__)

#: the longest wait of a poll, whatever the agent requests
POLL_LIMIT_S = 60.0
#: a stream is given up when its agent was silent for this long
SILENCE_S = 25.0
#: an ended stream is remembered for this long, so that the agent learns the reason
LINGER_S = 30.0
CONNECTIONS = 8192
#: live streams of one certificate: one link has two, and a new link may overlap the old one
STREAMS_OF_ONE_PEER = 8
#: ended streams of one certificate that are remembered; the newest of more
ENDED_OF_ONE_PEER = 32
WAIT_HEADER = "qd-wait"
_PATH = re.compile(
    r"(?:/[\x21-\x7e]*)?/link/(?:(join)|(control|telemetry)/([0-9a-f]{32})/(?:(up|down)/([0-9]{1,15})|end))"
)
_WAIT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?")
Answer = tuple[int, dict[str, str], bytes]
_Key = tuple[bytes, str, str]


class HttpsServerWire:
    """Serves the link at `address` ("host:port"; port 0 takes a free one)."""

    def __init__(
        self,
        address: str,
        *,
        silence_s: float = SILENCE_S,
        connections: int = CONNECTIONS,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        self.address = address
        self._silence_s = silence_s
        self._connections = connections
        self._handshake_timeout_s = handshake_timeout_s
        self._acceptor: Acceptor | None = None
        self._streams: dict[_Key, ServerStream[Any]] = {}
        self._tasks = TaskSet()
        self._generation = -1
        self._context: ssl.SSLContext | None = None

    async def start(self, service: LinkService, credentials: ServerCredentials) -> str:
        """Listen and serve; return the bound address. Raise `BadConfig` when the address cannot be bound."""
        self._service, self._credentials = service, credentials
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdecimal():
            raise BadConfig(f"The link cannot listen on '{self.address}'.", hint="Write host:port for --link-https.")
        acceptor = Acceptor(
            self._tls, self._serve, connections=self._connections, handshake_timeout_s=self._handshake_timeout_s
        )
        try:
            bound = await acceptor.start(host.strip("[]"), int(port))
        except (OSError, OverflowError) as error:
            raise BadConfig(
                f"The link cannot listen on {self.address}: {error}.",
                hint="Is another server running? Choose another address with --link-https or QD_SERVER_LINK__HTTPS.",
            ) from error
        self._acceptor = acceptor
        self.address = f"{host}:{bound}"
        return self.address

    async def stop(self, grace_s: float = 1.0) -> None:
        """End every stream, let agents fetch the reason for `grace_s`, stop listening."""
        if self._acceptor is None:
            return
        self._acceptor.close()
        await self._tasks.wait(limit_s=grace_s)
        unaware = [asyncio.create_task(stream.end_known.wait()) for stream in self._streams.values()]
        if unaware:
            await asyncio.wait(unaware, timeout=grace_s)
            for waiting in unaware:
                waiting.cancel()
        await self._tasks.cancel()
        await self._acceptor.end()
        self._streams.clear()
        self._acceptor = None

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port, *_ = writer.get_extra_info("peername") or ("somewhere", 0)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        peer = Peer(address=f"{host}:{port}", certificate_pem=ssl.DER_cert_to_PEM_cert(certificate).encode())
        connection = ServerConnection(reader, writer, known=lambda path: _PATH.fullmatch(path) is not None)
        await connection.serve(lambda head, path, body: self._answer(peer, path, head, body))

    def _tls(self) -> ssl.SSLContext:
        now = self._credentials.generation
        if self._context is None or now != self._generation:
            self._context = server_context(self._credentials.server_chain(), self._credentials.client_roots())
            self._generation = now
        return self._context

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _answer(self, peer: Peer, path: str, head: Head, body: bytes) -> Answer:
        found = _PATH.fullmatch(path)
        if found is None:
            raise NotFound("The link has no such path.")
        try:
            if found[1]:
                return OK, {}, encode(await self._service.join(peer, decode_join_request(body)))
            return await self._stream_request(peer, found, head, body)
        except EndedOrderly:
            return GONE, {}, b""
        except QuarterdeckError as error:
            if found[1]:
                log.warning("join of %s was refused (%s): %s", peer.address, error.code, error)
            return to_answer(error)

    async def _stream_request(self, peer: Peer, found: re.Match[str], head: Head, body: bytes) -> Answer:
        kind, name, direction, number = found[2], found[3], found[4], int(found[5] or 0)
        key = (peer.certificate_pem, kind, name)
        stream = self._streams.get(key)
        if direction is None:
            if stream is not None:
                await stream.break_off(Unavailable("The agent has closed the link."))
            return OK, {}, b""
        if stream is None:
            if number != 1:
                raise Unavailable("The server does not know this stream (any more).")
            stream = self._open(peer, key)
        wait_s = _wait_s(head)
        if direction == "down":
            return OK, {}, await stream.fetch(number, wait_s=wait_s)
        taken = await stream.arrived(number, body, wait_s=wait_s)
        return (OK if taken else 202), {}, b""

    def _open(self, peer: Peer, key: _Key) -> ServerStream[Any]:
        mine = [known for known in self._streams if known[0] == key[0]]
        ended = [known for known in mine if self._streams[known].ended]
        if len(mine) - len(ended) >= STREAMS_OF_ONE_PEER:
            raise Conflict(f"This node has {len(mine) - len(ended)} streams open already.")
        for known in ended[:-ENDED_OF_ONE_PEER]:  # one peer's ended streams take no space from others
            del self._streams[known]
        if len(self._streams) >= 2 * self._connections:
            raise TooLarge("There are too many streams.")
        control = key[1] == "control"
        stream: ServerStream[Any] = ServerStream(decode_from_agent if control else decode_telemetry_batch)
        call = self._service.control if control else self._service.telemetry
        self._streams[key] = stream
        self._tasks.spawn(self._run(peer, key, stream, call), name=f"link {key[1]} {peer.address}")
        return stream

    async def _run(
        self,
        peer: Peer,
        key: _Key,
        stream: ServerStream[Any],
        call: Callable[[Peer, ServerStream[Any]], Awaitable[None]],
    ) -> None:
        """Run one stream from its first request to its end; the agent fetches the reason of the end."""
        watch = asyncio.create_task(self._watch(stream))
        end: Exception = QuarterdeckError()
        try:
            with linked():
                await call(peer, stream)
            end = EndedOrderly()
        except QuarterdeckError as error:
            end = error
            level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
            log.log(level, "link with %s ended (%s): %s", peer.address, error.code, error)
        except asyncio.CancelledError:
            end = Unavailable("The server is stopping.")
            raise
        except Exception:
            log.exception("link with %s ended because of an internal error", peer.address)
        finally:
            watch.cancel()
            await stream.end(end)
            asyncio.get_running_loop().call_later(LINGER_S, self._streams.pop, key, None)

    async def _watch(self, stream: ServerStream[Any]) -> None:
        left_s = self._silence_s
        while left_s > 0:
            await asyncio.sleep(left_s)
            left_s = self._silence_s - stream.silent_s()
        await stream.break_off(Unavailable(f"The agent was silent for {self._silence_s:g} s."))


def _wait_s(head: Head) -> float:
    text = head.headers.get(WAIT_HEADER, "")
    return min(float(text), POLL_LIMIT_S) if _WAIT.fullmatch(text) else 0.0
