"""The server's end of the grpc wire: listens with mutual TLS, decodes frames, and passes each call to the service.

TLS material is asked for at every handshake, so renewed certificates and new join tokens count at once. Whom a
certificate belongs to is judged by the service; this end only guarantees that the peer holds the key and that TLS
trusts it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NoReturn, TypeVar

import grpc
import grpc.aio
import msgspec

from quarterdeck.link.grpc.channel import CONTROL, JOIN, KEEPALIVE_S, TELEMETRY, Options, common_options, to_status
from quarterdeck.link.grpc.handshakes import HandshakeWatch
from quarterdeck.link.messages import (
    decode_from_agent,
    decode_join_request,
    decode_telemetry_batch,
    encode,
)
from quarterdeck.link.wire import LinkService, Peer, ServerCredentials
from quarterdeck.model.errors import BadConfig, QuarterdeckError, Unauthenticated, Unavailable

log = logging.getLogger(__name__)
_In = TypeVar("_In")
_Context = grpc.aio.ServicerContext[Any, Any]


def _options(keepalive_s: float) -> Options:
    return (
        *common_options(keepalive_s),
        # agents ping every `keepalive_s`; whoever pings more often than a third of it is sent away
        ("grpc.http2.min_ping_interval_without_data_ms", int(keepalive_s * 1000 / 3)),
        ("grpc.server_handshake_timeout_ms", 20_000),
        # a connection carries one control and one telemetry stream, or one join
        ("grpc.max_concurrent_streams", 8),
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
    )


class _ServerStream(Generic[_In]):
    """The server's end of one stream."""

    def __init__(self, context: _Context, decode: Callable[[bytes], _In]) -> None:
        self._context = context
        self._decode = decode
        self._writing = asyncio.Lock()

    async def receive(self) -> _In | None:
        try:
            frame: object = await self._context.read()
        except (grpc.aio.BaseError, grpc.RpcError) as error:
            raise Unavailable(f"The agent's stream broke: {error}.") from error
        return self._decode(frame) if isinstance(frame, bytes) else None

    async def send(self, message: msgspec.Struct) -> None:
        async with self._writing:
            try:
                await self._context.write(encode(message))
            except (grpc.aio.BaseError, grpc.RpcError) as error:
                raise Unavailable(f"The agent's stream broke: {error}.") from error


class GrpcServerWire:
    """Serves the link at `address` ("host:port"; port 0 takes a free one)."""

    def __init__(self, address: str, *, keepalive_s: float = KEEPALIVE_S) -> None:
        self.address = address
        self._keepalive_s = keepalive_s
        self._server: grpc.aio.Server | None = None

    async def start(self, service: LinkService, credentials: ServerCredentials) -> str:
        """Listen and serve; the address bound. `BadConfig` when the address cannot be bound."""
        server = grpc.aio.server(options=_options(self._keepalive_s))
        watch = HandshakeWatch()
        server.add_generic_rpc_handlers((_Methods(service, watch),))
        host, _, _ = self.address.rpartition(":")
        try:
            port = server.add_secure_port(self.address, _dynamic_credentials(credentials, watch))
        except RuntimeError as error:
            raise BadConfig(
                f"The link cannot listen on {self.address}.",  # gRPC prints why, and says nothing else
                hint="Is another server running? Choose another address with --link or QD_LINK.",
            ) from error
        watch.port = port
        await server.start()
        self._server = server
        self.address = f"{host}:{port}"
        return self.address

    async def stop(self, grace_s: float = 1.0) -> None:
        """Stop listening; streams still open after `grace_s` are cut."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None


def _dynamic_credentials(credentials: ServerCredentials, watch: HandshakeWatch) -> grpc.ServerCredentials:
    """grpc asks the inner function before each handshake, on a thread of its own; None means nothing changed."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        chain = credentials.server_chain()
        return grpc.ssl_server_certificate_configuration(
            [(chain.key_pem, chain.certificate_pem)], credentials.client_roots()
        )

    known = credentials.generation
    first = configuration()

    def fetch() -> Any:
        nonlocal known
        watch.began()
        now = credentials.generation
        if now == known:
            return None
        fresh = configuration()
        known = now
        return fresh

    return grpc.dynamic_ssl_server_credentials(first, fetch, require_client_authentication=True)


class _Methods(grpc.GenericRpcHandler):
    """The explicit list of what may be called. Whatever is not in it, grpc refuses as UNIMPLEMENTED."""

    def __init__(self, service: LinkService, watch: HandshakeWatch) -> None:
        self._service = service
        self._watch = watch
        streams = grpc.stream_stream_rpc_method_handler
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            JOIN: grpc.unary_unary_rpc_method_handler(self._join),  # type: ignore[arg-type]
            CONTROL: streams(self._control),
            TELEMETRY: streams(self._telemetry),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)

    async def _join(self, frame: bytes, context: _Context) -> bytes:
        async def call(peer: Peer) -> bytes:
            return encode(await self._service.join(peer, decode_join_request(frame)))

        return await self._guard(context, call)

    async def _control(self, _requests: object, context: _Context) -> None:
        stream = _ServerStream(context, decode_from_agent)
        await self._guard(context, lambda peer: self._service.control(peer, stream))

    async def _telemetry(self, _requests: object, context: _Context) -> None:
        stream = _ServerStream(context, decode_telemetry_batch)
        await self._guard(context, lambda peer: self._service.telemetry(peer, stream))

    async def _guard(self, context: _Context, call: Callable[[Peer], Awaitable[_In]]) -> _In:
        """Run one call; an error ends its stream with a clear status and the log says whose it was."""
        address = context.peer()
        try:
            return await call(self._peer(context))
        except QuarterdeckError as error:
            level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
            log.log(level, "link with %s ended (%s): %s", address, error.code, error)
            await _abort(context, error)
        except Exception:
            log.exception("link with %s ended by a fault of ours", address)
            await _abort(context, QuarterdeckError())

    def _peer(self, context: _Context) -> Peer:
        address = context.peer()
        self._watch.finished(address)
        shown = list(context.auth_context().get("x509_pem_cert", ()))
        if not shown:
            raise Unauthenticated("The client showed no certificate.")
        return Peer(address=address, certificate_pem=shown[0])


async def _abort(context: _Context, error: QuarterdeckError) -> NoReturn:
    code, details, metadata = to_status(error)
    await context.abort(code, details, metadata)
