"""The agent's end of the https wire: streams over POST and long polls, on four connections.

Each direction of each stream has its own connection, so that no control message waits behind rows, or for the server's
store. Concurrent sends become one request. Requests are numbered, so that one may be repeated after a disconnect.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from quarterdeck.link.address import ServerAddress
from quarterdeck.link.certificates import Credentials
from quarterdeck.link.frames import decode_join_reply, decode_telemetry_ack, decode_to_agent, encode
from quarterdeck.link.https.client import Lane
from quarterdeck.link.https.errors import GONE, OK, from_answer
from quarterdeck.link.https.http import BODY_TIMEOUT_S, pack, unpack
from quarterdeck.link.https.proxy import proxy_of_environment
from quarterdeck.link.https.tls import agent_context
from quarterdeck.link.messages import FromAgent, JoinReply, JoinRequest, TelemetryAck, TelemetryBatch, ToAgent
from quarterdeck.link.outgoing import Outgoing, Writer
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import Unavailable

_In = TypeVar("_In")

JOIN_TIMEOUT_S = 30.0
#: how long an idle poll waits at the server; a cut link is noticed after two thirds of it more
POLL_S = 15.0
#: messages of one request, and their bytes unless one alone is larger
REQUEST_FRAMES = 64
REQUEST_BYTES = 1024 * 1024
_CLOSE_TIMEOUT_S = 1.0


class _AgentStream(Generic[_In]):
    """The agent's end of one stream."""

    def __init__(self, path: str, *, up: Lane, down: Lane, decode: Callable[[bytes], _In], poll_s: float) -> None:
        self._path = f"{path}/{secrets.token_hex(16)}"
        self._up, self._down = up, down
        self._decode = decode
        self._poll_s = poll_s
        self._sent = 0
        self._fetched = 0
        self._writer = Writer(self._write)
        self._frames: deque[bytes] = deque()
        self._used = False

    async def receive(self) -> _In | None:
        while not self._frames:
            answer = await self._request(self._down, f"down/{self._fetched + 1}", b"")
            if answer is None:
                return None
            frames = unpack(answer[1])
            self._fetched += bool(frames)
            self._frames.extend(frames)
        return self._decode(self._frames.popleft())

    async def send(self, message: msgspec.Struct) -> None:
        await self._writer.send(message, encode(message))

    async def close(self) -> None:
        """Tell the server that the stream is closed; if it cannot be reached, it will notice."""
        await self._writer.close()
        if self._used:
            with suppress(Unavailable):
                await self._up.post(f"{self._path}/end", b"", headers={}, timeout_s=_CLOSE_TIMEOUT_S, repeat=False)

    async def _write(self, outgoing: Outgoing) -> None:
        """Send the waiting frames in one request."""
        body = pack(outgoing.take(limit_frames=REQUEST_FRAMES, limit_bytes=REQUEST_BYTES))
        status = 0
        while status != OK:  # the server's queue was full because its reader is slow: repeat the request
            answer = await self._request(self._up, f"up/{self._sent + 1}", body)
            if answer is None:
                raise Unavailable("The server ended the stream.")
            status = answer[0]
        self._sent += 1

    async def _request(self, lane: Lane, what: str, body: bytes) -> tuple[int, bytes] | None:
        """Return status and body of a good answer; None when the server has ended the stream in order."""
        self._used = True
        patience_s = self._poll_s * 5 / 3 + len(body) / 65_536 + (BODY_TIMEOUT_S if len(body) > REQUEST_BYTES else 0.0)
        status, headers, answer = await lane.post(
            f"{self._path}/{what}",
            body,
            headers={"qd-wait": f"{self._poll_s:.3f}"},
            timeout_s=patience_s,
            repeat=True,
        )
        if status == GONE and "qd-code" not in headers:
            return None
        if status not in {OK, 202}:
            raise from_answer(status, headers, answer)
        return status, answer


class HttpsAgentLink:
    """At most four connections to the server."""

    def __init__(
        self, address: ServerAddress, credentials: Credentials, *, proxy: str = "", poll_s: float = POLL_S
    ) -> None:
        context = agent_context(credentials)
        self._lanes = tuple(Lane(address, context, proxy=proxy) for _ in range(4))
        self._up, self._control, self._rows_up, self._telemetry = self._lanes
        self._poll_s = poll_s
        self._streams: list[_AgentStream[ToAgent] | _AgentStream[TelemetryAck]] = []

    async def join(self, request: JoinRequest) -> JoinReply:
        """Return the identity that the server gives; raise `TokenUsed`, `TokenExpired`, `Unavailable` …"""
        status, headers, body = await self._up.post(
            "join", encode(request), headers={}, timeout_s=JOIN_TIMEOUT_S, repeat=False
        )
        if status != OK:
            raise from_answer(status, headers, body)
        return decode_join_reply(body)

    def control(self) -> Stream[ToAgent, FromAgent]:
        stream = _AgentStream("control", up=self._up, down=self._control, decode=decode_to_agent, poll_s=self._poll_s)
        self._streams.append(stream)
        return stream

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        stream = _AgentStream(
            "telemetry", up=self._rows_up, down=self._telemetry, decode=decode_telemetry_ack, poll_s=self._poll_s
        )
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        """End both streams and close the connections."""
        self._control.close()
        self._telemetry.close()
        try:
            await asyncio.gather(*(stream.close() for stream in self._streams))
        finally:
            for lane in self._lanes:
                lane.close()


class HttpsAgentWire:
    """Calls the server at `address`, through the HTTP proxy of the environment if one is set."""

    def __init__(self, address: ServerAddress, *, proxy: str | None = None, poll_s: float = POLL_S) -> None:
        self._address = address
        self._proxy = proxy_of_environment(address.host) if proxy is None else proxy
        self._poll_s = poll_s

    def connect(self, credentials: Credentials) -> HttpsAgentLink:
        """Return a link that connects at its first call."""
        return HttpsAgentLink(self._address, credentials, proxy=self._proxy, poll_s=self._poll_s)
