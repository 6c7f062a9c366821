"""A server's address as an agent is told it: `host:port` or `grpc://host:port`, or `https://host:port[/prefix]`.

The form chooses the wire. Owns no socket; what is wrong with an address is said in words.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from quarterdeck.link.wire import AgentWire
from quarterdeck.model.errors import BadConfig
from quarterdeck.model.struct import Struct

HTTPS_PORT = 443


class Carrier(StrEnum):
    """What carries the link."""

    GRPC = "grpc"
    HTTPS = "https"


class ServerAddress(Struct, frozen=True, kw_only=True):
    """Where a server listens. `prefix` is empty, or begins with a slash and does not end with one."""

    carrier: Carrier
    host: str
    port: int
    prefix: str = ""

    @property
    def netloc(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> ServerAddress:
    """The address in `text`; `BadConfig` when it is none."""
    url = text if "://" in text else f"grpc://{text}"
    try:
        parts = urlsplit(url)
        carrier = Carrier(parts.scheme)
        port = HTTPS_PORT if parts.port is None and carrier is Carrier.HTTPS else parts.port
    except ValueError as error:
        raise _bad(text) from error
    prefix = parts.path.rstrip("/")
    superfluous = parts.query or parts.fragment or parts.username is not None
    if not parts.hostname or not port or superfluous or (prefix and carrier is Carrier.GRPC):
        raise _bad(text)
    if any(not 0x20 < ord(letter) < 0x7F for letter in text):  # urlsplit drops line breaks
        raise _bad(text)
    return ServerAddress(carrier=carrier, host=parts.hostname, port=port, prefix=prefix)


def agent_wire(text: str) -> AgentWire:
    """The agent's end of the wire that the address names. Only that wire is imported: an agent is to stay small."""
    address = parse_address(text)
    if address.carrier is Carrier.HTTPS:
        from quarterdeck.link.https.agent import HttpsAgentWire  # noqa: PLC0415

        return HttpsAgentWire(address)
    from quarterdeck.link.grpc.agent import GrpcAgentWire  # noqa: PLC0415

    return GrpcAgentWire(address.netloc)


def _bad(text: str) -> BadConfig:
    return BadConfig(
        f"'{text}' is not a server's address.",
        hint="Write host:port, such as fleet.example:8421, or https://host:port/prefix.",
    )
