"""A server's address in an agent's configuration: `[grpc://]host:port`, or `https://host:port[/prefix]`.

The form of the address chooses the wire (`wires.py`). It opens no socket; a wrong address is an error that states the
expected form.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from quarterdeck.model.errors import BadConfig
from quarterdeck.model.struct import Struct

HTTPS_PORT = 443


class Carrier(StrEnum):
    """The protocol that carries the link."""

    GRPC = "grpc"
    HTTPS = "https"


class ServerAddress(Struct, frozen=True, kw_only=True):
    """The address where a server listens. `prefix` is empty, or begins with a slash and does not end with one."""

    carrier: Carrier
    host: str
    port: int
    prefix: str = ""

    @property
    def netloc(self) -> str:
        """Return `host:port`, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> ServerAddress:
    """Return the address in `text`; raise `BadConfig` when it is not one."""
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


def _bad(text: str) -> BadConfig:
    return BadConfig(
        f"'{text}' is not a server's address.",
        hint="Write host:port, such as fleet.example:8421, or https://host:port/prefix.",
    )
