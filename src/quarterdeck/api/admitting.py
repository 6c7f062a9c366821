"""Turns of requests without a checked token: a few at a time, so that the event loop has time for everybody else.

A turn ends as soon as `Access` has checked the token (before the handler reads or writes anything), and at the latest
when the answer begins. A connection that has presented a valid token is reported to `Strangers`, which never closes it,
and its requests need no turn. It never decides whether a token is valid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from quarterdeck.kit.strangers import Address, Strangers

#: turns at a time; refusing a request takes about half a millisecond
AT_A_TIME = 8
_CHECKED = "quarterdeck.token_checked"


def token_checked(scope: Scope, *, valid: bool) -> None:
    """End the turn of this request. `valid` is false on a public route, where no token is needed."""
    end: Callable[[bool], None] | None = cast("dict[str, Any]", scope).get(_CHECKED)
    if end is not None:
        end(valid)


def admitting(app: ASGIApp, room: Strangers) -> ASGIApp:
    """Wrap `app`: requests of unidentified connections take turns, and `room` learns of those with a valid token."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        client = _peer(scope)
        if client is None or room.knows(*client):
            await app(scope, receive, send)
            return
        await turns.acquire()
        waiting = True

        def end(valid: bool) -> None:
            nonlocal waiting
            if valid:
                room.admit(*client)
            if waiting:
                waiting = False
                turns.release()

        async def send_after_turn(message: Message) -> None:
            end(False)
            await send(message)

        cast("dict[str, Any]", scope)[_CHECKED] = end
        try:
            await asyncio.sleep(0)  # other tasks run before this request does
            await app(scope, receive, send_after_turn)
        finally:
            end(False)

    return call


def _peer(scope: Scope) -> Address | None:
    """Return the client's address. granian writes the port as text."""
    if scope["type"] != ScopeType.HTTP or scope["client"] is None:
        return None
    host, port = scope["client"]
    return host, int(port)
