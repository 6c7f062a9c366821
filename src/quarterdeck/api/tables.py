"""Tables over HTTP: their list, SQL over them, and their new rows as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage

from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.model.queries import Answer, Query, QueryFormat, TableInfo, TailRows
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server

_CONTENT_TYPES = {QueryFormat.CSV: "text/csv", QueryFormat.ARROW: "application/vnd.apache.arrow.stream"}


@get("/tables", operation_id="listTables", role=Role.VIEWER)
async def list_tables(server: NamedDependency[Server]) -> list[TableInfo]:
    """Every table with its size and age."""
    return await server.tables.list()


@post("/query", operation_id="query", status_code=200, role=Role.VIEWER)
async def run_query(server: NamedDependency[Server], data: JSONBody[Query]) -> Response[Answer | bytes]:
    """SQL over the tables: read-only, with row and time limits, and with how complete the answer is.

    In CSV and Arrow the completeness is the header `X-Completeness`, as JSON.
    """
    if data.format is QueryFormat.JSON:
        return Response(await server.queries.run(data))
    body, completeness = await server.queries.export(data)
    # the standard library's JSON is all ASCII, as a header must be; names of nodes need not be
    headers = {"X-Completeness": json.dumps(msgspec.to_builtins(completeness), separators=(",", ":"))}
    return Response(body, media_type=_CONTENT_TYPES[data.format], headers=headers)


@get("/tables/{table:str}/tail", operation_id="tailTable", role=Role.VIEWER)
async def tail_table(
    server: NamedDependency[Server], table: FromPath[str], where: FromQuery[str] = "", cursor: FromQuery[str] = ""
) -> ServerSentEvent:
    """The rows of a table as they are stored, as server-sent events. `cursor` resumes after an event's own `cursor`."""
    rows = await server.tail.open(table, where=where, cursor=cursor)
    return ServerSentEvent(kept_alive(_events(rows)))


async def _events(rows: AsyncIterator[TailRows]) -> AsyncIterator[ServerSentEventMessage]:
    async for event in rows:
        yield ServerSentEventMessage(data=one_line(event), id=event.cursor)


ROUTES = (list_tables, run_query, tail_table)
