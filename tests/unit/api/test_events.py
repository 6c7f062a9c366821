"""Live streams over HTTP: what keeps them open while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from litestar.response import ServerSentEventMessage

from quarterdeck.api.events import kept_alive


async def silent() -> AsyncIterator[ServerSentEventMessage]:
    await asyncio.Event().wait()
    yield ServerSentEventMessage(data="never")


async def test_a_silent_stream_is_kept_open_by_comments_and_not_by_events() -> None:
    stream = cast("AsyncGenerator[ServerSentEventMessage]", kept_alive(silent(), every_s=0.01))
    async with aclosing(stream):
        assert [(await anext(stream)).encode() for _ in range(2)] == [b": still here\r\n\r\n"] * 2
