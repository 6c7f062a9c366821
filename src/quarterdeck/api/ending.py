"""Live streams at the end: they have none of their own, so who reads them is let go when the server stops."""

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


def ended_by(app: ASGIApp, stopping: asyncio.Event) -> ASGIApp:
    """`app`, whose answers to GET take the reader for gone once `stopping` is set; no other request is disturbed."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_or_stop() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            message, stop = asyncio.ensure_future(_told(receive)), asyncio.ensure_future(stopping.wait())
            try:
                await asyncio.wait({message, stop}, return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else HTTPDisconnectEvent(type="http.disconnect")
            finally:
                message.cancel()
                stop.cancel()

        streams = scope["type"] == ScopeType.HTTP and scope["method"] == "GET"
        await app(scope, receive_or_stop if streams else receive, send)

    return call


async def _told(receive: Receive) -> HTTPReceiveMessage | WebSocketReceiveMessage:
    return await receive()
