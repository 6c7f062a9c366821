"""The fields of `Query` and `Mutation`: one for each route of REST that answers in JSON, and pages of long lists.

`listServices` becomes `services`, `showService` becomes `service`, and what changes something keeps its name. A field
needs the role of its route.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import strawberry
from litestar.handlers import HTTPRouteHandler

from quarterdeck.api import about, rest
from quarterdeck.api.disconnects import while_connected
from quarterdeck.api.graphql.connections import PAGE, PageInfo, connection
from quarterdeck.api.graphql.handlers import INPUT, SELECTOR, Argument, Context, Handler
from quarterdeck.api.graphql.types import Types, to_struct
from quarterdeck.model.audit import AuditEntry
from quarterdeck.model.errors import BadQuery
from quarterdeck.model.jobs import Job
from quarterdeck.model.messages import FoundMessages, NodeMessage
from quarterdeck.model.nodes import Node, Selector
from quarterdeck.model.queries import Answer, Query, QueryFormat
from quarterdeck.model.tokens import Role

#: rows of one answer to `query`; REST streams larger ones as CSV and Arrow
ROWS_LIMIT = 50_000
#: routes whose field is written below
_BY_HAND = {"listNodes", "selectNodes", "listJobs", "listMessages", "listAudit", "query"}
_FIRST = Argument(name="first", kind=int, default=PAGE)
_AFTER = Argument(name="after", kind=str | None, default=None)
_NODES = connection(Node, "Node", total_count=int)
_JOBS = connection(Job, "Job")
_AUDIT = connection(AuditEntry, "AuditEntry")
_MESSAGES = connection(NodeMessage, "Message", resume=str, problems=tuple[str, ...])
Resolve = Callable[[Context, Mapping[str, Any]], Any]


@cache
def handlers() -> Mapping[str, Handler]:
    """Return the routes of REST by their operation ids."""
    routes = [*rest.HANDLERS, *about.ROUTES]
    return {
        str(route.operation_id): Handler(route)
        for route in routes
        if isinstance(route, HTTPRouteHandler) and route.operation_id
    }


def queries(types: Types) -> dict[str, Any]:
    """Return the strawberry fields of `Query` by name."""
    found = handlers()
    fields = {
        _noun(handler.name): field(types, _noun(handler.name), handler, arguments=handler.arguments)
        for handler in found.values()
        if handler.has_json and not handler.audited and handler.name not in _BY_HAND
    }
    return fields | dict(_by_hand(types, found))


def mutations(types: Types) -> dict[str, Any]:
    """Return the strawberry fields of `Mutation` by name."""
    return {
        handler.name: field(types, handler.name, handler, arguments=handler.arguments)
        for handler in handlers().values()
        if handler.has_json and handler.audited
    }


def field(
    types: Types,
    name: str,
    handler: Handler,
    *,
    arguments: Sequence[Argument],
    answer: Any = None,
    resolve: Resolve | None = None,
) -> Any:
    """Return a strawberry field that calls `resolve`, or the handler. It is nullable: an error nulls it alone."""
    call: Any = resolve or handler
    answer = answer or handler.answer

    async def resolver(info: Any, **given: Any) -> Any:
        value = await call(info.context, without_unset(given))
        return True if answer in (None, type(None)) else value

    kind = bool if answer in (None, type(None)) else types.of_answer(answer)
    resolver.__name__ = name
    described: Any = resolver
    described.__signature__ = signature(types, arguments, kind | None)
    return strawberry.field(resolver, description=description(handler), metadata={"role": handler.role})


def signature(types: Types, arguments: Sequence[Argument], answer: Any) -> inspect.Signature:
    """Return the signature from which strawberry makes the arguments of a field."""
    parameters = [inspect.Parameter("info", inspect.Parameter.KEYWORD_ONLY, annotation=strawberry.Info)]
    for each in arguments:
        kind, default = types.of_argument(each.kind), each.default
        if default is msgspec.NODEFAULT:
            default = inspect.Parameter.empty
        elif default is None:
            kind, default = kind | None, strawberry.UNSET
        parameters.append(
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        )
    return inspect.Signature(parameters, return_annotation=answer)


def without_unset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that were given."""
    return {name: value for name, value in given.items() if value is not strawberry.UNSET}


def description(handler: Handler) -> str:
    """Return what a field says of itself."""
    text = " ".join(handler.doc.split())
    return text if handler.role is Role.VIEWER else f"{text} It needs the role {handler.role}."


def _noun(operation: str) -> str:
    """Return the field of an operation that reads: `listJobs` as `jobs`, `showNode` as `node`."""
    for verb in ("list", "show"):
        if operation.startswith(verb):
            noun = operation.removeprefix(verb)
            plural = "" if verb == "show" or noun.endswith("s") else "s"
            return noun[0].lower() + noun[1:] + plural
    return operation


def _by_hand(types: Types, found: Mapping[str, Handler]) -> Iterator[tuple[str, Any]]:
    """Yield the fields that are pages of a list, and `query`."""
    select, jobs, messages, audit = (found[name] for name in ("selectNodes", "listJobs", "listMessages", "listAudit"))

    async def nodes(context: Context, given: Mapping[str, Any]) -> Any:
        selected: Sequence[Node] = await select(context, {INPUT: given.get(SELECTOR) or Selector()})
        return await _NODES.read(
            _all(selected), key=lambda node: str(node.key), total_count=len(selected), **_page(given)
        )

    async def of_jobs(context: Context, given: Mapping[str, Any]) -> Any:
        return await _JOBS.read(
            _limited(jobs, context, given), key=lambda job: f"{job.gid}/{job.nid}/{job.id}", **_page(given)
        )

    async def of_audit(context: Context, given: Mapping[str, Any]) -> Any:
        return await _AUDIT.read(_limited(audit, context, given), key=lambda entry: str(entry.id), **_page(given))

    async def of_messages(context: Context, given: Mapping[str, Any]) -> Any:
        page = {"limit": given["first"], "cursor": given.get("after") or ""}
        answer: FoundMessages = await messages(context, {**given, **page})
        info = PageInfo(has_next_page=answer.cursor is not None, end_cursor=answer.cursor)
        cursors = [None] * len(answer.messages)
        return _MESSAGES.page(answer.messages, cursors, info=info, resume=answer.resume, problems=answer.problems)

    choosing = Argument(name=SELECTOR, kind=Selector | None, default=None)
    for name, handler, kind, arguments, resolve in (
        ("nodes", select, _NODES, [choosing], nodes),
        ("jobs", jobs, _JOBS, _filters(jobs), of_jobs),
        ("audit", audit, _AUDIT, _filters(audit), of_audit),
        ("messages", messages, _MESSAGES, _filters(messages), of_messages),
    ):
        paged = [*arguments, _FIRST, _AFTER]
        yield name, field(types, name, handler, arguments=paged, answer=kind.of, resolve=resolve)
    query = found["query"]
    yield "query", field(types, "query", query, arguments=query.arguments, answer=Answer, resolve=_query(query))


def _query(handler: Handler) -> Resolve:
    async def resolve(context: Context, given: Mapping[str, Any]) -> Answer:
        query: Query = to_struct(given[INPUT], Query)
        if query.format is not QueryFormat.JSON or query.max_rows > ROWS_LIMIT:
            raise BadQuery(
                f"GraphQL answers in JSON with at most {ROWS_LIMIT} rows; found max_rows = {query.max_rows} as"
                f" {query.format}.",
                hint="Ask for more by `POST /api/v1/query`, which streams CSV and Arrow.",
            )

        async def run(request: Any) -> Answer:
            reply = await while_connected(request, context.services["server_queries"].run(query, request.user))
            return msgspec.json.decode(b"".join(reply.parts), type=Answer)

        return await handler.perform(context, run)

    return resolve


def _filters(handler: Handler) -> list[Argument]:
    return [each for each in handler.arguments if each.name not in ("limit", "cursor")]


def _page(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"first": given["first"], "after": given.get("after")}


def _all(entries: Sequence[Any]) -> Any:
    async def read(_: int) -> Sequence[Any]:
        return entries

    return read


def _limited(handler: Handler, context: Context, given: Mapping[str, Any]) -> Any:
    async def read(limit: int) -> Sequence[Any]:
        return await handler(context, {**given, "limit": limit})

    return read
