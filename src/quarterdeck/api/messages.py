"""Messages over HTTP: what processes printed, found with filters, or as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import PAGE_MESSAGES, FoundMessages, MessageFilter
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.messages.following import Followed
from quarterdeck.server.server import Server

Levels = Annotated[str, QueryParameter(name="level", description="such as 7, 1,2 or 7-9; * is every level")]
Since = Annotated[int | None, QueryParameter(name="since", description="milliseconds since the epoch, included")]
Until = Annotated[int | None, QueryParameter(name="until", description="milliseconds since the epoch, not included")]
Nodes = Annotated[list[str] | None, QueryParameter(name="node", description="name, nid or gid/nid; repeatable")]
Labels = Annotated[list[str] | None, QueryParameter(name="on", description="label=value, all must match; repeatable")]


@get("/messages", operation_id="listMessages", role=Role.VIEWER)
async def list_messages(
    server: NamedDependency[Server],
    *,
    job: FromQuery[str | None] = None,
    domain: FromQuery[str | None] = None,
    name: FromQuery[str | None] = None,
    levels: Levels = "*",
    text: FromQuery[str] = "",
    since: Since = None,
    until: Until = None,
    nodes: Nodes = None,
    labels: Labels = None,
    gid: FromQuery[int | None] = None,
    limit: FromQuery[int] = PAGE_MESSAGES,
    newest: FromQuery[bool] = False,
    cursor: FromQuery[str] = "",
) -> FoundMessages:
    """What processes printed on the nodes that match: what is there, and what was forwarded.

    Oldest first, or with `newest` the newest first. `cursor` of the answer is for the next page, with the same
    filters; `resume` is for `/messages/events`. `problems` says which nodes could not be asked.
    """
    wanted = MessageFilter(
        job_id=job,
        domain=domain,
        name=name,
        levels=levels,
        text=text,
        time_from=since,
        time_to=until,
        limit=limit,
        newest_first=newest,
    )
    return await server.messages.select(_selector(nodes, labels, gid), wanted, cursor=cursor)


@get("/messages/events", operation_id="followMessages", role=Role.VIEWER)
async def follow_messages(
    server: NamedDependency[Server],
    *,
    job: FromQuery[str | None] = None,
    domain: FromQuery[str | None] = None,
    name: FromQuery[str | None] = None,
    levels: Levels = "*",
    text: FromQuery[str] = "",
    nodes: Nodes = None,
    labels: Labels = None,
    gid: FromQuery[int | None] = None,
    resume: FromQuery[str] = "",
    last_event: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
) -> ServerSentEvent:
    """What is printed from now on, as server-sent events `messages`, each with some of one node.

    `resume` of `/messages` goes on after that answer, `Last-Event-ID` after an event's own id. Nodes that are away are
    in `problems`; what they printed meanwhile comes when they are back.
    """
    wanted = MessageFilter(job_id=job, domain=domain, name=name, levels=levels, text=text)
    followed = await server.messages.follow(_selector(nodes, labels, gid), wanted, last_event or resume)
    return ServerSentEvent(kept_alive(_events(followed)))


async def _events(followed: AsyncIterator[Followed]) -> AsyncIterator[ServerSentEventMessage]:
    async for messages, problems, token in followed:
        found = FoundMessages(messages=messages, resume=token, problems=problems)
        yield ServerSentEventMessage(event="messages", id=token, data=one_line(found))


def _selector(nodes: list[str] | None, labels: list[str] | None, gid: int | None) -> Selector:
    pairs = [label.partition("=") for label in labels or ()]
    for key, equals, value in pairs:
        if not (key and equals):
            raise BadInput(f"Expected a label as key=value, found '{key}{equals}{value}'.")
    return Selector(labels={key: value for key, _, value in pairs}, nodes=tuple(nodes or ()), gid=gid)


ROUTES = (list_messages, follow_messages)
