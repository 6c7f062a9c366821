"""Live streams over HTTP: server-sent events with comments that keep an idle stream open.

The contents of the events are the business of each noun's routes. `stream_ends` ends a stream with its credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar.response import ServerSentEventMessage

#: seconds between comments that keep an idle stream open
KEEPALIVE_S = 10.0
#: line separators of Unicode that JSON does not escape
_LINE_ENDS = {end: f"\\u{end:04x}" for end in (0x85, 0x2028, 0x2029)}


def one_line(value: object) -> str:
    """Return `value` as JSON in which every line separator is escaped."""
    return msgspec.json.encode(value).decode().translate(_LINE_ENDS)


async def kept_alive(
    events: AsyncIterator[ServerSentEventMessage], *, keepalive_s: float = KEEPALIVE_S
) -> AsyncIterator[ServerSentEventMessage]:
    """Yield the events, and a comment after each `keepalive_s` without one."""
    upcoming = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=keepalive_s)
            if not done:
                yield ServerSentEventMessage(comment="still here", data=None)  # without data: it is no event
                continue
            event = upcoming.result()
            upcoming = asyncio.ensure_future(anext(events))
            yield event
    except StopAsyncIteration:
        return
    finally:
        upcoming.cancel()
