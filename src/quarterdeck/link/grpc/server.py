"""The server's end of the grpc wire: listens with mutual TLS, decodes frames, and passes each call to the service.

TLS material is requested at every handshake, so renewed certificates and new join tokens take effect at once. The
service decides whom a certificate belongs to; this end only guarantees that the peer holds the key and that TLS trusts
it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NoReturn, TypeVar

import grpc
import grpc.aio
import msgspec

from quarterdeck.kit.strangers import Strangers
from quarterdeck.kit.tasks import ForeignCancellation, own_cancellation
from quarterdeck.link.frames import decode_from_agent, decode_join_request, decode_telemetry_batch, encode
from quarterdeck.link.grpc.channel import CONTROL, JOIN, KEEPALIVE_S, TELEMETRY, Options, common_options, to_status
from quarterdeck.link.grpc.handshakes import PATIENCE_S, HandshakeWatch
from quarterdeck.link.outgoing import Outgoing, Writer
from quarterdeck.link.wire import LinkService, Peer, ServerCredentials, linked
from quarterdeck.model.errors import BadConfig, QuarterdeckError, Unauthenticated, Unavailable

log = logging.getLogger(__name__)
_In = TypeVar("_In")
#: time limit for sending the last messages
FINISH_S = 1.0
_Context = grpc.aio.ServicerContext[Any, Any]


#: connections at one time
CONNECTIONS = 16_384
#: a connection that has not become an agent's by then is closed
HANDSHAKE_TIMEOUT_S = 10.0


def _options(keepalive_s: float, connections: int, handshake_timeout_s: float) -> Options:
    return (
        *common_options(keepalive_s),
        # agents ping every `keepalive_s`; a peer that pings three times as often is disconnected
        ("grpc.http2.min_ping_interval_without_data_ms", int(keepalive_s * 1000 / 3)),
        ("grpc.server_handshake_timeout_ms", int(handshake_timeout_s * 1000)),
        ("grpc.max_allowed_incoming_connections", connections),
        # a connection carries one control and one telemetry stream, or one join
        ("grpc.max_concurrent_streams", 8),
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
    )


class _ServerStream(Generic[_In]):
    """The server's end of one stream."""

    def __init__(self, context: _Context, decode: Callable[[bytes], _In]) -> None:
        self._context = context
        self._decode = decode
        self._writer = Writer(self._write)

    async def receive(self) -> _In | None:
        try:
            with own_cancellation():
                frame: object = await self._context.read()
        except (grpc.aio.BaseError, grpc.RpcError, ForeignCancellation) as error:
            raise Unavailable(f"The agent's stream broke: {error}.") from error
        return self._decode(frame) if isinstance(frame, bytes) else None

    async def send(self, message: msgspec.Struct) -> None:
        await self._writer.send(message, encode(message))

    async def finish(self) -> None:
        """Wait until the last messages of a finished service were sent, within a time limit."""
        try:
            async with asyncio.timeout(FINISH_S):
                await self._writer.drain()
        except TimeoutError:
            log.debug("an agent did not read its stream to the end in time")
        finally:
            await self._writer.close()

    async def _write(self, outgoing: Outgoing) -> None:
        (frame,) = outgoing.take()
        try:
            await self._context.write(frame)
        except (grpc.aio.BaseError, grpc.RpcError) as error:
            raise Unavailable(f"The agent's stream broke: {error}.") from error


class GrpcServerWire:
    """Serves the link at `address` ("host:port"; port 0 takes a free one).

    `patience_s`: how long a peer may take to its first call before it is looked for among the connections.
    """

    def __init__(
        self,
        address: str,
        *,
        keepalive_s: float = KEEPALIVE_S,
        connections: int = CONNECTIONS,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.address = address
        self._patience_s = patience_s
        self._options = _options(keepalive_s, connections, handshake_timeout_s)
        self._room = Strangers(limit=connections)
        self._server: grpc.aio.Server | None = None

    async def start(self, service: LinkService, credentials: ServerCredentials) -> str:
        """Listen and serve; return the bound address. Raise `BadConfig` when the address cannot be bound."""
        server = grpc.aio.server(options=self._options)
        watch = HandshakeWatch(self._room, patience_s=self._patience_s)
        server.add_generic_rpc_handlers((_Methods(service, watch),))
        host, _, _ = self.address.rpartition(":")
        try:
            port = server.add_secure_port(self.address, _dynamic_credentials(credentials, watch))
        except RuntimeError as error:
            raise BadConfig(
                f"The link cannot listen on {self.address}.",  # gRPC only prints the reason
                hint="Is another server running? Choose another address with --link or QD_LINK.",
            ) from error
        watch.port = port
        await server.start()
        self._room.start(port)
        self._server = server
        self.address = f"{host}:{port}"
        return self.address

    async def stop(self, grace_s: float = 1.0) -> None:
        """Stop listening; streams still open after `grace_s` are closed."""
        if self._server is not None:
            await self._room.stop()
            await self._server.stop(grace_s)
            self._server = None


def _dynamic_credentials(credentials: ServerCredentials, watch: HandshakeWatch) -> grpc.ServerCredentials:
    """Return credentials that grpc requests before each handshake, on its own thread; None means unchanged."""

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
    """The explicit list of methods. grpc refuses any other as UNIMPLEMENTED."""

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
        await self._guard(context, lambda peer: _finishing(self._service.control(peer, stream), stream))

    async def _telemetry(self, _requests: object, context: _Context) -> None:
        stream = _ServerStream(context, decode_telemetry_batch)
        await self._guard(context, lambda peer: _finishing(self._service.telemetry(peer, stream), stream))

    async def _guard(self, context: _Context, call: Callable[[Peer], Awaitable[_In]]) -> _In:
        """Run one call; an error ends its stream with a clear status, and is logged with the peer's address."""
        address = context.peer()
        try:
            with linked():
                return await call(self._peer(context))
        except QuarterdeckError as error:
            level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
            log.log(level, "link with %s ended (%s): %s", address, error.code, error)
            await _abort(context, error)
        except Exception:
            log.exception("link with %s ended because of an internal error", address)
            await _abort(context, QuarterdeckError())

    def _peer(self, context: _Context) -> Peer:
        address = context.peer()
        self._watch.finished(address)
        presented = list(context.auth_context().get("x509_pem_cert", ()))
        if not presented:
            raise Unauthenticated("The client presented no certificate.")
        return Peer(address=address, certificate_pem=presented[0])


async def _finishing(served: Awaitable[None], stream: _ServerStream[Any]) -> None:
    try:
        await served
    finally:
        await stream.finish()


async def _abort(context: _Context, error: QuarterdeckError) -> NoReturn:
    code, details, metadata = to_status(error)
    await context.abort(code, details, metadata)
