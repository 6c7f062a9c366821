"""The routes of GraphQL: requests, subscriptions as server-sent events, and GraphiQL with its files (no CDN).

Events follow the protocol "GraphQL over server-sent events" in its distinct connections mode. Roles are those of the
fields, so the routes are for every token.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, Router, get, post
from litestar.params import JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from quarterdeck.api.access import PUBLIC
from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.api.graphql.request import GraphQLRequest
from quarterdeck.kit.garbage import keep_present
from quarterdeck.model.errors import BadInput, QuarterdeckError
from quarterdeck.model.tokens import Role

ASSETS = "/graphiql-assets"
_EXECUTION = "quarterdeck.api.graphql.execution"
_ERRORS = "quarterdeck.api.graphql.errors"
_COMPLETE = ServerSentEventMessage(event="complete", data="")
_OWN = Path(__file__).parent / "graphiql"
#: nothing from elsewhere; CodeMirror sets styles
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def router(services: Mapping[str, Any]) -> Router:
    """Return the routes. `services` are those of the server by the names that handlers of REST use."""

    @post("/graphql", operation_id="graphql", status_code=200, role=Role.VIEWER)
    async def graphql(request: Request[Any, Any, Any], data: JSONBody[GraphQLRequest]) -> Response[bytes]:
        """Answer a GraphQL query or mutation. Errors are in the `errors` of the answer; each field has its role."""
        execution = await _execution()
        content = await execution.answer(_checked(data), request, services)
        return Response(content, media_type=MediaType.JSON)

    @post("/graphql/stream", operation_id="graphqlStream", status_code=200, role=Role.VIEWER, last_events=_last_events)
    async def stream(request: Request[Any, Any, Any], data: JSONBody[GraphQLRequest]) -> ServerSentEvent:
        """Stream the events of a GraphQL subscription, as server-sent events `next`, and `complete` after the last."""
        execution = await _execution()
        return ServerSentEvent(kept_alive(_events(execution.events(_checked(data), request, services))))

    return Router("/", route_handlers=[graphql, stream, graphiql, _assets()], tags=["graphql"])


@get("/graphiql", public=True, media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def graphiql() -> Response[str]:
    """Serve GraphiQL. It asks with the login of the browser, or with a token in its headers."""
    return Response((_OWN / "index.html").read_text(), headers={"Content-Security-Policy": _POLICY})


def _assets() -> Router:
    package = Path(str(resources.files("graphene_django_graphiql_static")))
    return create_static_files_router(
        path=ASSETS,
        directories=[package / "static" / "graphene_django_graphiql_static", _OWN],
        opt={PUBLIC: True},
        include_in_schema=False,
    )


async def _execution() -> Any:
    """Return the module that executes requests. The first call imports it and makes the schema, in a thread."""
    if not hasattr(sys.modules.get(_EXECUTION), "events"):  # its last name: another request may be importing it
        await asyncio.to_thread(import_module, _EXECUTION)
        await asyncio.to_thread(keep_present)
    return import_module(_EXECUTION)


def _checked(body: GraphQLRequest) -> GraphQLRequest:
    if not body.query.strip():
        raise BadInput("Expected a GraphQL document in `query`, found an empty one.")
    return body


def _last_events(error: QuarterdeckError) -> Sequence[ServerSentEventMessage]:
    """Return the last events of a subscription that an error ends."""
    errors = import_module(_ERRORS)  # the request has imported it
    result = {"data": None, "errors": [errors.of(error)]}
    return ServerSentEventMessage(event="next", data=one_line(result)), _COMPLETE


async def _events(results: AsyncIterator[Any]) -> AsyncIterator[ServerSentEventMessage]:
    async for result in results:
        yield ServerSentEventMessage(event="next", data=one_line(result))
    yield _COMPLETE
