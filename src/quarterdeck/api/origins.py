"""Whether a request is meant for this server and comes from a page of ours: its `Host` and its `Origin`.

A page of another site can make a browser send requests here. It cannot change these headers: a foreign name that
resolves to our address (DNS rebinding) is in `Host`, and the foreign page is in `Origin`. Both are refused on every
route, before anything else is looked at. This module never identifies who sends a request.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from quarterdeck.api.problems import send_problem
from quarterdeck.model.errors import BadConfig, Forbidden, ForeignHost, ForeignOrigin

_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::\d*)?")
_NAME = re.compile(r"[\w.-]+")
_SHOWN = 100  # characters of a foreign name in an error
_POLICY_VIOLATION = 1008  # RFC 6455


def own_names(address: str, further: Iterable[str] = ()) -> frozenset[str]:
    """Return the host names of a server that listens at `address`, host:port; `further` names are configured.

    They are in lower case. Addresses of IP are not among them: each is ours. Raise `BadConfig` for what is no name.
    """
    further = tuple(further)
    for name in further:
        if not _NAME.fullmatch(name):
            raise BadConfig(f"'{name}' in server.http_names is not a host name.", hint="Write no scheme and no port.")
    host = socket.gethostname()
    names = ("localhost", address.rpartition(":")[0].strip("[]"), host, host.partition(".")[0], *further)
    return frozenset(_canonical(name) for name in names if name)


def own_requests_only(app: ASGIApp, names: frozenset[str]) -> ASGIApp:
    """Wrap `app`: it receives only requests whose host is an IP address or in `names`, and whose origin is that host.

    Other requests are answered with a problem document. A request without `Host` or `Origin` is passed on: browsers
    send both where they matter.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        error = _refusal(scope, names) if scope["type"] in {ScopeType.HTTP, ScopeType.WEBSOCKET} else None
        if error is None:
            await app(scope, receive, send)
        elif scope["type"] == ScopeType.HTTP:
            await send_problem(error, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code})

    return call


def is_own_origin(scope: Scope) -> bool:
    """Return whether the browser states that a page of this server sent the request."""
    if "same-origin" in _values(scope, b"sec-fetch-site"):
        return True
    own = {f"{scheme(scope)}://{host}" for host in _values(scope, b"host")}
    origins = set(_values(scope, b"origin"))
    return bool(origins) and origins == own


def scheme(scope: Scope) -> str:
    """Return "https" or "http": that of the client's connection, also where a proxy ends TLS."""
    forwarded = next(_values(scope, b"x-forwarded-proto"), "").partition(",")[0].strip().lower()
    return "https" if (forwarded or scope["scheme"]) in {"https", "wss"} else "http"


def _refusal(scope: Scope, names: frozenset[str]) -> Forbidden | None:
    for host in _values(scope, b"host"):
        if not _is_own(host, names):
            return ForeignHost(
                f"This server is not named '{host[:_SHOWN]}'.",
                hint="Use its IP address or host name, or add the name to server.http_names in its configuration.",
            )
    if any(_values(scope, b"origin")) and not is_own_origin(scope):
        origin = next(_values(scope, b"origin"))
        return ForeignOrigin(
            f"A page of '{origin[:_SHOWN]}' sent the request; only pages of this server may.",
            hint="A proxy in front of the server must pass the headers Host and X-Forwarded-Proto on.",
        )
    return None


def _is_own(host: str, names: frozenset[str]) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1] or match[2] or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _canonical(name) in names
    return True


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


def _values(scope: Scope, name: bytes) -> Iterator[str]:
    """Yield the values of a header; ASGI has its name in lower case."""
    return (value.decode("latin-1").strip() for key, value in scope["headers"] if key == name)
