"""HTTP forward proxies: finds the one that the environment names, and requests a tunnel to the server.

HTTPS_PROXY and NO_PROXY are read as other programs read them. Credentials of a proxy are never logged.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from quarterdeck.link.address import ServerAddress
from quarterdeck.link.https.http import write_message
from quarterdeck.model.errors import BadConfig


def proxy_of_environment(host: str) -> str:
    """Return HTTPS_PROXY, unless NO_PROXY names the host or a domain above it; empty without a proxy."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    excepted = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    for name in (part.strip().lstrip(".").lower() for part in excepted.split(",")):
        if name and (name == "*" or host.lower() == name or host.lower().endswith(f".{name}")):
            return ""
    return proxy


def parse_proxy(text: str) -> tuple[str, int, str]:
    """Return host, port and credentials (base64, or empty) of an HTTP forward proxy; raise `BadConfig` otherwise."""
    with suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
            return parts.hostname, parts.port or 80, base64.b64encode(user.encode()).decode()
    raise BadConfig("HTTPS_PROXY is not a proxy's address.", hint="Write http://host:port.")


def connect_request(address: ServerAddress, authority: str) -> bytes:
    """Return the request for a tunnel to the server."""
    credentials = {"proxy-authorization": f"Basic {authority}"} if authority else {}
    return write_message(f"CONNECT {address.netloc} HTTP/1.1", {"host": address.netloc, **credentials})
