"""The interface that both halves use, whatever carries the link: the agent calls, the server serves.

A wire has three parts: `join` (one request, one reply), `control` and `telemetry` (two streams). It decodes and checks
every frame, identifies the peer by its certificate, and turns refusals into errors of model/errors on the other side.
It does not depend on nodes, sets or tables. `link/grpc/` is the default wire; every other one passes the same tests.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from quarterdeck.kit.tasks import ForeignCancellation
from quarterdeck.link.certificates import Credentials
from quarterdeck.link.messages import FromAgent, JoinReply, JoinRequest, TelemetryAck, TelemetryBatch, ToAgent
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.struct import Struct

In_co = TypeVar("In_co", covariant=True)
Out_contra = TypeVar("Out_contra", contravariant=True)


class Peer(Struct, frozen=True, kw_only=True):
    """The other end: its address for the log, and the certificate whose key it proved to hold."""

    address: str
    certificate_pem: bytes


@contextmanager
def linked() -> Generator[None]:
    """Raise `Unavailable` when a part of a link is cancelled from elsewhere: the agent is to connect again."""
    try:
        yield
    except ForeignCancellation as error:
        raise Unavailable("A part of the link was cancelled.") from error


class Stream(Protocol[In_co, Out_contra]):
    """One end of a stream in both directions. One task receives; any number may send."""

    async def receive(self) -> In_co | None:
        """Return the next message; None when the other side has ended in order.

        Raise `BadFrame` for bytes that are no message, the error with which the other side ended the stream, or
        `Unavailable` when the link has failed.
        """
        ...

    async def send(self, message: Out_contra) -> None:
        """Queue one message; wait while the other side does not read. Raise `Unavailable` when the link has failed.

        It is sent in a task of the stream, so that a cancelled caller does not affect others; a lost link may be
        noticed only by the next sender. Control messages overtake large ones (`outgoing.py`).
        """
        ...


class LinkService(Protocol):
    """The methods that the server offers over every wire. An error raised here ends the stream and is sent on it."""

    async def join(self, peer: Peer, request: JoinRequest) -> JoinReply: ...

    async def control(self, peer: Peer, stream: Stream[FromAgent, ToAgent]) -> None: ...

    async def telemetry(self, peer: Peer, stream: Stream[TelemetryBatch, TelemetryAck]) -> None: ...


class ServerCredentials(Protocol):
    """The TLS material for the server's end of a wire. Requested at every handshake, from any thread."""

    @property
    def generation(self) -> int:
        """Return a number that grows whenever one of the two values below changes."""
        ...

    def server_chain(self) -> Credentials:
        """Return the server's certificate, followed by the CA that signed it."""
        ...

    def client_roots(self) -> bytes:
        """Return the PEM of all trusted issuers of clients: our CAs, and the certificates of join tokens."""
        ...


class ServerWire(Protocol):
    """The server's end of a wire."""

    async def start(self, service: LinkService, credentials: ServerCredentials) -> str:
        """Listen and serve; return the bound address."""
        ...

    async def stop(self, grace_s: float = 1.0) -> None:
        """End every stream with `Unavailable` and stop listening."""
        ...


class AgentLink(Protocol):
    """One connection of an agent to its server."""

    async def join(self, request: JoinRequest) -> JoinReply: ...

    def control(self) -> Stream[ToAgent, FromAgent]: ...

    def telemetry(self) -> Stream[TelemetryAck, TelemetryBatch]:
        """Open the telemetry stream; only after the `Welcome` on control: the server refuses it before."""
        ...

    async def close(self) -> None: ...


class AgentWire(Protocol):
    """The agent's end of a wire. Nothing is sent before the first call on the link."""

    def connect(self, credentials: Credentials) -> AgentLink: ...
