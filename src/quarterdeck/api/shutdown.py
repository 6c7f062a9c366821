"""Shutdown of live streams: they have no end of their own, so the server disconnects their clients when it stops."""

from __future__ import annotations

import asyncio

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPDisconnectEvent,
    HTTPReceiveMessage,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)


def disconnect_at(stopping: asyncio.Event, app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that GET requests receive `http.disconnect` once `stopping` is set; others are not affected."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_or_stop() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            message, stop = asyncio.ensure_future(_received(receive)), asyncio.ensure_future(stopping.wait())
            try:
                await asyncio.wait({message, stop}, return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else HTTPDisconnectEvent(type="http.disconnect")
            finally:
                message.cancel()
                stop.cancel()

        streams = scope["type"] == ScopeType.HTTP and scope["method"] == "GET"
        await app(scope, receive_or_stop if streams else receive, send)

    return call


async def _received(receive: Receive) -> HTTPReceiveMessage | WebSocketReceiveMessage:
    return await receive()
