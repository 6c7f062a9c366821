"""Limits on open requests and live streams for each API token, and the end of the streams of one that has ended.

Each holds a connection, and an open stream costs the server tasks and the nodes requests; a client in a loop must not
use all of them. A request counts until its answer is complete or its client has disconnected. This module never
identifies the token of a request.
"""

from __future__ import annotations

from collections import Counter

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp, Receive, Scope, Send

from quarterdeck.api.access import login_of
from quarterdeck.api.send_timeout import with_send_timeout
from quarterdeck.api.stream_ends import until_ended
from quarterdeck.model.errors import TooMany
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.credentials import Credentials

#: requests other than streams that one token may have open
REQUESTS = 256


class Followers(ASGIMiddleware):
    """Counts the requests and streams of each token. It runs after `Access`, which identifies the token."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, credentials: Credentials, *, live_streams: int) -> None:
        """Allow each token `live_streams` open streams, which end with what `credentials` watches."""
        self._credentials = credentials
        self._live_streams = live_streams
        self.open = Counter[tuple[str, bool]]()  #: by token id, and whether they are streams

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on, or raise `TooMany`."""
        if "user" not in scope:  # a public route
            await next_app(scope, receive, send)
            return
        token: ApiToken = scope["user"]
        key = (token.id, is_stream(scope["route_handler"]))
        self._check(token, key)
        self.open[key] += 1
        try:
            if key[1]:
                with self._credentials.held(token, login_of(scope)) as ended:
                    await until_ended(ended, next_app, scope, receive, send)
            else:
                await with_send_timeout(next_app, scope, receive, send)
        finally:
            self.open[key] -= 1
            self.open += Counter()  # drops those that are at zero

    def _check(self, token: ApiToken, key: tuple[str, bool]) -> None:
        limit, what = (self._live_streams, "live streams") if key[1] else (REQUESTS, "requests")
        if self.open[key] >= limit:
            raise TooMany(
                f"The token '{token.name}' has {limit} {what} open, which is as many as it may have.",
                hint="Close some, or use another token. The limit of live streams is server.live_streams.",
            )


def is_stream(route: object) -> bool:
    """Return whether a route's handler answers with server-sent events."""
    answer = getattr(route, "parsed_return_field", None)
    return answer is not None and answer.is_subclass_of(ServerSentEvent)
