"""Routes of messages: search with filters, and a live stream of new ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.api.rest.selectors import CHOSEN
from quarterdeck.model.messages import PAGE_MESSAGES, FoundMessages, MessageFilter
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.messages.following import Followed
from quarterdeck.server.messages.messages import Messages

Levels = Annotated[str, QueryParameter(name="level", description="such as 7, 1,2 or 7-9; * is every level")]
Since = Annotated[int | None, QueryParameter(name="since", description="milliseconds since the epoch, included")]
Until = Annotated[int | None, QueryParameter(name="until", description="milliseconds since the epoch, not included")]


def to_filter(
    *,
    job: FromQuery[str | None] = None,
    domain: FromQuery[str | None] = None,
    name: FromQuery[str | None] = None,
    levels: Levels = "*",
    text: FromQuery[str] = "",
) -> MessageFilter:
    """Return the filter that the parameters describe."""
    return MessageFilter(job_id=job, domain=domain, name=name, levels=levels, text=text)


_DEPENDENCIES = {"filtered": Provide(to_filter, sync_to_thread=False), **CHOSEN}


@get("/messages", operation_id="listMessages", role=Role.VIEWER, dependencies=_DEPENDENCIES)
async def list_messages(
    server_messages: NamedDependency[Messages],
    *,
    filtered: NamedDependency[MessageFilter],
    since: Since = None,
    until: Until = None,
    chosen: NamedDependency[Selector],
    limit: FromQuery[int] = PAGE_MESSAGES,
    newest: FromQuery[bool] = False,
    cursor: FromQuery[str] = "",
) -> FoundMessages:
    """List the messages of processes on the nodes that match: those that the nodes store, and those they forwarded.

    The oldest come first, or with `newest` the newest. Pass the answer's `cursor` with the same filters to get the next
    page, and its `resume` to `/messages/events`. `problems` names the nodes that could not be asked.
    """
    wanted = msgspec.structs.replace(filtered, time_from=since, time_to=until, limit=limit, newest_first=newest)
    return await server_messages.select(chosen, wanted, cursor=cursor)


@get("/messages/events", operation_id="followMessages", role=Role.VIEWER, dependencies=_DEPENDENCIES)
async def follow_messages(
    server_messages: NamedDependency[Messages],
    *,
    filtered: NamedDependency[MessageFilter],
    chosen: NamedDependency[Selector],
    resume: FromQuery[str] = "",
    last_event: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
) -> ServerSentEvent:
    """Stream new messages as server-sent events `messages`, each with messages of one node.

    `resume` continues after an answer of `/messages`, `Last-Event-ID` after the event with that id. Nodes that are
    offline are named in `problems`; their messages are sent when they reconnect.
    """
    followed = await server_messages.follow(chosen, filtered, last_event or resume)
    return ServerSentEvent(kept_alive(_events(followed)))


async def _events(followed: AsyncIterator[Followed]) -> AsyncIterator[ServerSentEventMessage]:
    async for messages, problems, token in followed:
        found = FoundMessages(messages=messages, resume=token, problems=problems)
        yield ServerSentEventMessage(event="messages", id=token, data=one_line(found))


ROUTES = (list_messages, follow_messages)
