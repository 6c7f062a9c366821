"""HTTP forward proxies: which one the environment names, and how a tunnel to the server is asked of it.

HTTPS_PROXY and NO_PROXY are read as other programs read them. Credentials of a proxy are never logged.
"""

from __future__ import annotations

import base64
import os
import socket
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from quarterdeck.link.address import ServerAddress
from quarterdeck.link.https.http import HEAD_LIMIT_BYTES, parse_head, write_message
from quarterdeck.model.errors import BadConfig, BadFrame


def proxy_of_environment(host: str) -> str:
    """HTTPS_PROXY, unless NO_PROXY names the host or a domain above it; empty when there is none."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    excepted = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    for name in (part.strip().lstrip(".").lower() for part in excepted.split(",")):
        if name and (name == "*" or host.lower() == name or host.lower().endswith(f".{name}")):
            return ""
    return proxy


def parse_proxy(text: str) -> tuple[str, int, str]:
    """Host, port and credentials (base64, or empty) of an HTTP forward proxy; `BadConfig` for anything else."""
    with suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
            return parts.hostname, parts.port or 80, base64.b64encode(user.encode()).decode()
    raise BadConfig("HTTPS_PROXY is not a proxy's address.", hint="Write http://host:port.")


def connect_request(address: ServerAddress, authority: str) -> bytes:
    """What asks a proxy for a tunnel to the server."""
    credentials = {"proxy-authorization": f"Basic {authority}"} if authority else {}
    return write_message(f"CONNECT {address.netloc} HTTP/1.1", {"host": address.netloc, **credentials})


def open_tunnel(address: ServerAddress, *, timeout_s: float) -> socket.socket:
    """A connected, blocking socket to the server, through the environment's proxy if there is one; `OSError`."""
    proxy = proxy_of_environment(address.host)
    if not proxy:
        return socket.create_connection((address.host, address.port), timeout=timeout_s)
    host, port, authority = parse_proxy(proxy)
    tunnel = socket.create_connection((host, port), timeout=timeout_s)
    try:
        tunnel.sendall(connect_request(address, authority))
        block = b""
        while not block.endswith(b"\r\n\r\n") and len(block) < HEAD_LIMIT_BYTES:
            byte = tunnel.recv(1)
            if not byte:
                raise ConnectionError("the proxy closed the connection")
            block += byte
        status = parse_head(block[:-4]).status()
        if status != 200:
            raise ConnectionError(f"the proxy refused the way with status {status}")
    except BadFrame as error:
        tunnel.close()
        raise ConnectionError(f"the proxy did not answer as one: {error}") from error
    except BaseException:
        tunnel.close()
        raise
    return tunnel
