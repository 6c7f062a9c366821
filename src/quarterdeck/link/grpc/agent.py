"""The agent's end of the grpc wire: one channel per connection, replaced rather than reconnected by grpc."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import grpc
import grpc.aio
import msgspec

from quarterdeck.kit.tasks import ForeignCancellation, own_cancellation
from quarterdeck.link.certificates import SERVER_NAME, Credentials
from quarterdeck.link.frames import decode_join_reply, decode_telemetry_ack, decode_to_agent, encode
from quarterdeck.link.grpc.channel import CONTROL, JOIN, KEEPALIVE_S, TELEMETRY, common_options, from_status
from quarterdeck.link.messages import FromAgent, JoinReply, JoinRequest, TelemetryAck, TelemetryBatch, ToAgent
from quarterdeck.link.outgoing import Outgoing, Writer
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import QuarterdeckError, Unavailable

_In = TypeVar("_In")

JOIN_TIMEOUT_S = 30.0
_AGENT_OPTIONS = (
    ("grpc.ssl_target_name_override", SERVER_NAME),
    ("grpc.default_authority", SERVER_NAME),
    ("grpc.use_local_subchannel_pool", 1),  # a new connection must not inherit the backoff of an older one
    ("grpc.enable_http_proxy", 0),
)


class _AgentStream(Generic[_In]):
    """The agent's end of one stream."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes], decode: Callable[[bytes], _In]) -> None:
        self._call = call
        self._decode = decode
        self._writer = Writer(self._write)

    async def receive(self) -> _In | None:
        try:
            with own_cancellation():  # grpc cancels all tasks that use a closed call
                frame: object = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _error(error) from error
        except ForeignCancellation as error:
            raise Unavailable("The link was cancelled.") from error
        if isinstance(frame, bytes):
            return self._decode(frame)
        await self._raise_unless_ok()
        return None

    async def send(self, message: msgspec.Struct) -> None:
        await self._writer.send(message, encode(message))

    async def close(self) -> None:
        """Stop sending."""
        await self._writer.close()

    async def _write(self, outgoing: Outgoing) -> None:
        (frame,) = outgoing.take()
        try:
            await self._call.write(frame)
        except asyncio.InvalidStateError as error:
            await self._raise_unless_ok()
            raise Unavailable("The server has ended the stream.") from error
        except grpc.aio.AioRpcError as error:
            raise _error(error) from error

    async def _raise_unless_ok(self) -> None:
        code = await self._call.code()
        if code is not grpc.StatusCode.OK:
            raise from_status(code, await self._call.details(), await self._call.trailing_metadata())


class GrpcAgentLink:
    """One grpc channel to the server."""

    def __init__(self, address: str, credentials: Credentials, *, keepalive_s: float = KEEPALIVE_S) -> None:
        tls = grpc.ssl_channel_credentials(credentials.ca_pem, credentials.key_pem, credentials.certificate_pem)
        self._channel = grpc.aio.secure_channel(address, tls, options=(*common_options(keepalive_s), *_AGENT_OPTIONS))
        self._streams: list[_AgentStream[ToAgent] | _AgentStream[TelemetryAck]] = []

    async def join(self, request: JoinRequest) -> JoinReply:
        """Return the identity that the server gives; raise `TokenUsed`, `TokenExpired`, `Unavailable` …"""
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(JOIN)
        try:
            return decode_join_reply(await ask(encode(request), timeout=JOIN_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            raise _error(error) from error

    def control(self) -> Stream[ToAgent, FromAgent]:
        stream = _AgentStream(self._call(CONTROL), decode_to_agent)
        self._streams.append(stream)
        return stream

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        stream = _AgentStream(self._call(TELEMETRY), decode_telemetry_ack)
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        """Close both streams and the connection."""
        for stream in self._streams:
            await stream.close()
        await self._channel.close()

    def _call(self, method: str) -> grpc.aio.StreamStreamCall[bytes, bytes]:
        start: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(method)
        return start()


class GrpcAgentWire:
    """Calls the server at `address` ("host:port")."""

    def __init__(self, address: str, *, keepalive_s: float = KEEPALIVE_S) -> None:
        self.address = address
        self._keepalive_s = keepalive_s

    def connect(self, credentials: Credentials) -> GrpcAgentLink:
        """Return a link that connects at its first call."""
        return GrpcAgentLink(self.address, credentials, keepalive_s=self._keepalive_s)


def _error(error: grpc.aio.AioRpcError) -> QuarterdeckError:
    return from_status(error.code(), error.details(), error.trailing_metadata())
