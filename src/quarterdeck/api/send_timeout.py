"""Time limit for clients to take an answer, so that one that stops reading does not hold memory and limits permanently.

The HTTP server does not report a client that stops reading, or disconnects while more was sent than its connection
takes: it waits without a limit. This module wraps an application; it never decides which routes are wrapped.
"""

from __future__ import annotations

import asyncio
import logging

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from quarterdeck.model.errors import Unavailable

#: how long a piece of an answer may wait to be taken
SEND_TIMEOUT_S = 60.0

log = logging.getLogger(__name__)


class _NotRead(Unavailable):
    """The client does not read its answer."""


async def with_send_timeout(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call `app`, and stop it when a message that it sends is not taken within `SEND_TIMEOUT_S`."""
    timed_out = False

    async def send_in_time(message: Message) -> None:
        nonlocal timed_out
        if timed_out:
            raise _NotRead
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)
        except TimeoutError:
            timed_out = True
            raise _NotRead from None

    try:
        await app(scope, receive, send_in_time)
    except Exception:
        if not timed_out:
            raise
        log.warning("%s: the client read nothing for %g s; its answer was cancelled", scope["path"], SEND_TIMEOUT_S)
