"""The agent's end of the grpc wire: one channel a connection, made anew rather than mended by grpc."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import grpc
import grpc.aio
import msgspec

from quarterdeck.link.certificates import SERVER_NAME, Credentials
from quarterdeck.link.grpc.channel import CONTROL, JOIN, KEEPALIVE_S, TELEMETRY, common_options, from_status
from quarterdeck.link.messages import (
    FromAgent,
    JoinReply,
    JoinRequest,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
    decode_join_reply,
    decode_telemetry_ack,
    decode_to_agent,
    encode,
)
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import QuarterdeckError

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
        self._writing = asyncio.Lock()

    async def receive(self) -> _In | None:
        try:
            frame: object = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _error(error) from error
        if isinstance(frame, bytes):
            return self._decode(frame)
        await self._raise_unless_ok()
        return None

    async def send(self, message: msgspec.Struct) -> None:
        async with self._writing:
            try:
                await self._call.write(encode(message))
            except asyncio.InvalidStateError:
                await self._raise_unless_ok()
                raise
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

    async def join(self, request: JoinRequest) -> JoinReply:
        """The identity the server gives; `TokenUsed`, `TokenExpired`, `Unavailable` …"""
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(JOIN)
        try:
            return decode_join_reply(await ask(encode(request), timeout=JOIN_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            raise _error(error) from error

    def control(self) -> Stream[ToAgent, FromAgent]:
        return _AgentStream(self._call(CONTROL), decode_to_agent)

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        return _AgentStream(self._call(TELEMETRY), decode_telemetry_ack)

    async def close(self) -> None:
        """Cut both streams and the connection."""
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
        """A link that connects at its first call."""
        return GrpcAgentLink(self.address, credentials, keepalive_s=self._keepalive_s)


def _error(error: grpc.aio.AioRpcError) -> QuarterdeckError:
    return from_status(error.code(), error.details(), error.trailing_metadata())
