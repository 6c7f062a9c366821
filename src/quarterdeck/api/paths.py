"""Names with a slash in paths: `gid%2Fnid` stays one segment while the route is found, and is decoded afterwards.

ASGI passes decoded paths, in which such a slash cannot be distinguished from one between segments.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

_SLASH = "%2F"


def keep_slashes(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that it receives paths in which a slash within a segment is still encoded."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and b"%2f" in scope["raw_path"].lower():
            segments = scope["raw_path"].decode("latin-1").split("/")
            scope["path"] = "/".join(unquote(segment).replace("/", _SLASH) for segment in segments)
        await app(scope, receive, send)

    return call


class WholeNames(ASGIMiddleware):
    """Middleware that decodes the slashes in the parameters of a path, once its route is found."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on with decoded parameters."""
        parameters: dict[str, Any] = scope["path_params"]  # of whatever types the routes name
        scope["path_params"] = {
            name: value.replace(_SLASH, "/") if isinstance(value, str) else value for name, value in parameters.items()
        }
        await next_app(scope, receive, send)
