"""A link server on a free port, with a fleet in memory, that a test can stop and start at the same address."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from quarterdeck.link.address import Carrier
from quarterdeck.link.certificates import Credentials, certificate_to_pem, key_to_pem, new_key, new_request
from quarterdeck.link.grpc.channel import KEEPALIVE_S
from quarterdeck.link.grpc.handshakes import PATIENCE_S
from quarterdeck.link.grpc.server import GrpcServerWire
from quarterdeck.link.https.server import HttpsServerWire
from quarterdeck.link.wire import AgentLink, ServerWire
from quarterdeck.link.wires import agent_wire
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.sessions.sessions import SEEN_INTERVAL_S, Sessions
from quarterdeck.testing.fleet import MemoryFleet


class LinkServer:
    """A link server: `async with LinkServer(home) as server:`. A later `start` keeps address, CA and fleet."""

    def __init__(
        self,
        home: Path,
        *,
        heartbeat_s: float = 10.0,
        certificate_days: float = 30,
        keepalive_s: float = KEEPALIVE_S,
        carrier: Carrier = Carrier.GRPC,
    ) -> None:
        self.authority = CertificateAuthority.open(home, certificate_days=certificate_days)
        self.fleet = MemoryFleet(self.authority, heartbeat_s=heartbeat_s)
        self.carrier = carrier
        self.bound = "127.0.0.1:0"
        self.seen_interval_s = SEEN_INTERVAL_S  #: from the next start on
        self.patience_s = PATIENCE_S  #: the same
        self._keepalive_s = keepalive_s
        self.sessions = self._new_sessions()

    async def start(self) -> None:
        """Listen, at the previous address if there is one."""
        self.sessions = self._new_sessions()
        await self.sessions.start()
        (self.bound,) = self.sessions.addresses

    @property
    def address(self) -> str:
        """Return the address that agents connect to."""
        return self.bound if self.carrier is Carrier.GRPC else f"https://{self.bound}/fleet"

    async def stop(self) -> None:
        """Stop listening."""
        await self.sessions.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def new_token(self) -> str:
        """Return a new token that is valid immediately."""
        text = self.fleet.new_token()
        await self.sessions.tokens_changed()
        return text

    def credentials(self, *, nid: int = 1, gid: int = 1, agent_id: str = "") -> Credentials:
        """Return credentials of a node, issued without joining."""
        key, name = new_key(), agent_id or f"agent-{nid}"
        certificate = self.authority.issue(new_request(key, name), agent_id=name, gid=gid, nid=nid)
        return Credentials(
            key_pem=key_to_pem(key), certificate_pem=certificate_to_pem(certificate), ca_pem=self.authority.pem
        )

    def link(self, credentials: Credentials) -> AgentLink:
        """Return a connection to this server."""
        return agent_wire(self.address).connect(credentials)

    def _new_sessions(self) -> Sessions:
        sessions = Sessions(
            self.fleet,
            authority=self.authority,
            wires=(self._new_wire(),),
            topics=self.fleet.topics(),
            store=self.fleet.telemetry,
            seen_interval_s=self.seen_interval_s,
        )
        self.fleet.links.attach(sessions)
        return sessions

    def _new_wire(self) -> ServerWire:
        if self.carrier is Carrier.GRPC:
            return GrpcServerWire(self.bound, keepalive_s=self._keepalive_s, patience_s=self.patience_s)
        return HttpsServerWire(self.bound, silence_s=self._keepalive_s * 5 / 3)
