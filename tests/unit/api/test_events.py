"""A stream without events is kept open by comments, which are no events to clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from litestar.response import ServerSentEventMessage

from quarterdeck.api.events import kept_alive


async def test_a_comment_is_no_event_and_none_of_the_events_is_lost() -> None:
    silent = asyncio.Event()

    async def events() -> AsyncIterator[ServerSentEventMessage]:
        await silent.wait()
        yield ServerSentEventMessage(data="1")

    sent: list[bytes] = []
    async for message in kept_alive(events(), keepalive_s=0.01):
        sent.append(message.encode())
        silent.set()
    assert sent[0] == b": still here\r\n\r\n"
    assert sent[-1] == b"data: 1\r\n\r\n"
