"""The fields of `Subscription`: what the live streams of REST tell, from the same services, to the same roles.

Each event has a cursor; `after` (or `resume`) with the last one continues behind it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import strawberry

from quarterdeck.api.graphql.fields import description, handlers, signature, without_unset
from quarterdeck.api.graphql.handlers import SELECTOR, Argument, Context, Handler
from quarterdeck.api.graphql.types import Types, to_struct
from quarterdeck.model.jobs import Job
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.nodes import Selector
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.queries import TailRows
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import Role

_COMMAND = Argument(name="command", kind=str)
_AFTER = Argument(name="after", kind=str, default="")


class JobChange(Struct, frozen=True, kw_only=True):
    """A job in its current state."""

    job: Job
    cursor: str


class OutputChange(Struct, frozen=True, kw_only=True):
    """Messages of one node, or a job in its current state; a job with its result follows all of its output."""

    job: Job | None = None
    messages: NodeMessages | None = None
    cursor: str = ""  #: empty where the stream cannot be continued


async def _jobs(context: Context, given: Mapping[str, Any]) -> AsyncIterator[Any]:
    changes = await context.services["server_commands"].follow(given["command"], given["after"])
    return (JobChange(job=job, cursor=str(number)) async for job, number in changes)


async def _output(context: Context, given: Mapping[str, Any]) -> AsyncIterator[Any]:
    paced = given["paced"] and context.request.user.role.covers(Role.OPERATOR)
    told = await context.services["server_output"].follow(given["command"], given["after"], paced=paced)
    return (
        OutputChange(job=event, cursor=cursor or "")
        if isinstance(event, Job)
        else OutputChange(messages=event, cursor=cursor or "")
        async for event, cursor in told
    )


async def _messages(context: Context, given: Mapping[str, Any]) -> AsyncIterator[Any]:
    wanted = MessageFilter(
        job_id=given.get("job"),
        domain=given.get("domain"),
        name=given.get("name"),
        levels=given["level"],
        text=given["text"],
    )
    chosen = to_struct(given.get(SELECTOR) or Selector(), Selector)
    followed = await context.services["server_messages"].follow(chosen, wanted, given["resume"])
    return (
        FoundMessages(messages=messages, resume=resume, problems=problems)
        async for messages, problems, resume in followed
    )


async def _rows(context: Context, given: Mapping[str, Any]) -> AsyncIterator[Any]:
    return await context.services["server_tail"].open(given["table"], where=given["where"], cursor=given["cursor"])


def subscriptions(types: Types) -> dict[str, Any]:
    """Return the strawberry fields of `Subscription` by name."""
    found = handlers()
    messages, rows = found["followMessages"], found["tailTable"]
    paced = Argument(name="paced", kind=bool, default=True)
    return {
        name: _field(types, name, handler, arguments=arguments, answer=answer, follow=follow)
        for name, handler, arguments, answer, follow in (
            ("commandJobs", found["followCommand"], [_COMMAND, _AFTER], JobChange, _jobs),
            ("commandOutput", found["followOutput"], [_COMMAND, _AFTER, paced], OutputChange, _output),
            ("messages", messages, messages.arguments, FoundMessages, _messages),
            ("tableRows", rows, rows.arguments, TailRows, _rows),
        )
    }


def _field(types: Types, name: str, handler: Handler, *, arguments: list[Argument], answer: type, follow: Any) -> Any:
    async def resolver(info: Any, **given: Any) -> AsyncGenerator[Any]:
        async def run(_: object) -> AsyncIterator[Any]:
            return await follow(info.context, without_unset(given))

        async for event in await handler.perform(info.context, run):
            info.context.lists.forget()
            yield event

    resolver.__name__ = name
    described: Any = resolver
    described.__signature__ = signature(types, arguments, AsyncGenerator[types.of_answer(answer), None])
    return strawberry.subscription(resolver, description=description(handler), metadata={"role": handler.role})
