"""What both halves program against, whatever carries the link: the agent calls, the server serves.

A wire has three parts: `join` (one question, one answer), `control` and `telemetry` (two streams). It decodes and
checks every frame, says who the peer is by its certificate, and turns refusals into errors of model/errors on the other
side. It knows nothing of nodes, sets or tables. `link/grpc/` is the default wire; another one passes the same tests.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from quarterdeck.link.certificates import Credentials
from quarterdeck.link.messages import (
    FromAgent,
    JoinReply,
    JoinRequest,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
)
from quarterdeck.model.struct import Struct

In_co = TypeVar("In_co", covariant=True)
Out_contra = TypeVar("Out_contra", contravariant=True)


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end: its address for the log, and the certificate it proved to hold."""

    address: str
    certificate_pem: bytes


class Stream(Protocol[In_co, Out_contra]):
    """One end of a stream in both directions. One task receives; any number may send."""

    async def receive(self) -> In_co | None:
        """The next message; None when the other side has ended orderly.

        Raises `BadFrame` for bytes that are no message, the error with which the other side ended the stream, or
        `Unavailable` when the link is gone.
        """
        ...

    async def send(self, message: Out_contra) -> None:
        """Hand over one message; waits while the other side does not read. `Unavailable` when the link is gone."""
        ...


class LinkService(Protocol):
    """What the server offers over every wire. An error raised here ends that stream and reaches the agent as it is."""

    async def join(self, peer: Peer, request: JoinRequest) -> JoinReply: ...

    async def control(self, peer: Peer, stream: Stream[FromAgent, ToAgent]) -> None: ...

    async def telemetry(self, peer: Peer, stream: Stream[TelemetryBatch, TelemetryAck]) -> None: ...


class ServerCredentials(Protocol):
    """Where the server's end of a wire gets its TLS material. Asked at every handshake, from any thread."""

    @property
    def generation(self) -> int:
        """Grows whenever one of the two below changes."""
        ...

    def server_chain(self) -> Credentials:
        """The server's leaf, followed by the CA that signed it."""
        ...

    def client_roots(self) -> bytes:
        """PEM of everything a client's certificate may stem from: our CAs, and the certificates of join tokens."""
        ...


class ServerWire(Protocol):
    """The server's end of a wire."""

    async def start(self, service: LinkService, credentials: ServerCredentials) -> str:
        """Listen and serve; the address that was bound."""
        ...

    async def stop(self, grace_s: float = 1.0) -> None:
        """End every stream with `Unavailable` and stop listening."""
        ...


class AgentLink(Protocol):
    """One connection of an agent to its server."""

    async def join(self, request: JoinRequest) -> JoinReply: ...

    def control(self) -> Stream[ToAgent, FromAgent]: ...

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        """To be opened after the `Welcome` on control; the server refuses it before."""
        ...

    async def close(self) -> None: ...


class AgentWire(Protocol):
    """The agent's end of a wire. Nothing is sent before the first call on the link."""

    def connect(self, credentials: Credentials) -> AgentLink: ...
