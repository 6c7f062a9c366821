"""The end of a live stream whose API token or login has ended: its last event says why.

It wraps the application, so it does not depend on what a stream contains, or on whether anything happens in it. When a
credential has ended is decided elsewhere (`server.credentials`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from litestar.response import ServerSentEventMessage
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from quarterdeck.api.events import one_line
from quarterdeck.kit.race import within
from quarterdeck.kit.tasks import cancel
from quarterdeck.model.errors import QuarterdeckError, to_problem
from quarterdeck.server.credentials import Ended

#: handler option: a function that returns the last events of a stream, for a protocol that has its own
LAST_EVENTS = "last_events"
#: seconds within which a client must take the last events
_LAST_S = 10.0

LastEvents = Callable[[QuarterdeckError], Sequence[ServerSentEventMessage]]


async def until_ended(ended: Ended, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call `app`. When its credential has ended, stop it, and complete its answer with the reason.

    Raise the reason if the answer has not begun.
    """
    state = {"begun": False, "complete": False}

    async def noted(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.start":
            state["begun"] = True
        elif message["type"] == "http.response.body":
            state["complete"] = not message["more_body"]

    async def called() -> None:
        await app(scope, receive, noted)

    stream = asyncio.create_task(called())
    try:
        await asyncio.wait({stream, ended}, return_when=asyncio.FIRST_COMPLETED)
        if stream.done():
            stream.result()
            return
    finally:
        await cancel(stream)
    error = ended.result()
    if not state["begun"]:
        raise error
    if not state["complete"]:
        body = b"".join(event.encode() for event in _last_events(scope)(error))
        await within(_LAST_S, send({"type": "http.response.body", "body": body, "more_body": False}))


def _last_events(scope: Scope) -> LastEvents:
    options: dict[str, Any] = scope["route_handler"].opt
    return options.get(LAST_EVENTS, _problem)


def _problem(error: QuarterdeckError) -> Sequence[ServerSentEventMessage]:
    """Return the event `problem` with a problem document."""
    return (ServerSentEventMessage(event="problem", data=one_line(to_problem(error))),)
