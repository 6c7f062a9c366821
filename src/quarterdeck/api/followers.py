"""Who follows: live streams that are open, so many at most for one API token.

Each costs the server tasks and the nodes questions for as long as it is open; a client in a loop shall not hold them
all. A stream is counted from its request until its answer has ended or its reader is gone.
"""

from __future__ import annotations

from collections import Counter

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp, Receive, Scope, Send

from quarterdeck.model.errors import TooMany
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.server import Server


class Followers(ASGIMiddleware):
    """Counts the streams of each token; behind `Access`, which says whose they are."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, server: Server) -> None:
        self.server = server
        self.open = Counter[str]()  #: by the id of their token

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Passes the request on, or raises `TooMany`."""
        if not _is_stream(scope):
            await next_app(scope, receive, send)
            return
        token: ApiToken = scope["user"]
        limit = self.server.config.live_streams
        if self.open[token.id] >= limit:
            raise TooMany(
                f"The token '{token.name}' has {limit} live streams open, which is as many as it may have.",
                hint="End some, use further tokens, or have server.live_streams raised.",
            )
        self.open[token.id] += 1
        try:
            await next_app(scope, receive, send)
        finally:
            self.open[token.id] -= 1
            self.open += Counter()  # drops those that are at zero


def _is_stream(scope: Scope) -> bool:
    """Whether the route answers with server-sent events."""
    answer = getattr(scope["route_handler"], "parsed_return_field", None)
    return answer is not None and answer.is_subclass_of(ServerSentEvent)
