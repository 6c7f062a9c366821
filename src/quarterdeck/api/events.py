"""Live streams over HTTP: server-sent events that stay open while nothing happens. What they say is each noun's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar.response import ServerSentEventMessage

#: seconds between comments that keep an idle stream open
KEEPALIVE_S = 10.0
#: what readers of lines take for the end of one; JSON leaves them as they are
_LINE_ENDS = {end: f"\\u{end:04x}" for end in (0x85, 0x2028, 0x2029)}


def one_line(value: object) -> str:
    """`value` as JSON without anything that a reader may take for the end of a line."""
    return msgspec.json.encode(value).decode().translate(_LINE_ENDS)


async def kept_alive(events: AsyncIterator[ServerSentEventMessage]) -> AsyncIterator[ServerSentEventMessage]:
    """The events, with a comment whenever none came for `KEEPALIVE_S`."""
    upcoming = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=KEEPALIVE_S)
            if not done:
                yield ServerSentEventMessage(comment="still here")
                continue
            event = upcoming.result()
            upcoming = asyncio.ensure_future(anext(events))
            yield event
    except StopAsyncIteration:
        return
    finally:
        upcoming.cancel()
