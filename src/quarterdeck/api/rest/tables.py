"""Routes of tables: their list, SQL queries, and a live stream of new rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage, Stream

from quarterdeck.api.disconnects import while_connected
from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.model.queries import Answer, Query, QueryFormat, TableInfo, TailRows
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.queries import Queries, Reply
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail

_CONTENT_TYPES = {
    QueryFormat.JSON: "application/json",
    QueryFormat.CSV: "text/csv",
    QueryFormat.ARROW: "application/vnd.apache.arrow.stream",
}
_PIECE_BYTES = 256 * 1024


@get("/tables", operation_id="listTables", role=Role.VIEWER)
async def list_tables(server_tables: NamedDependency[Tables]) -> list[TableInfo]:
    """List the tables with their sizes and ages."""
    return await server_tables.list()


@post("/query", operation_id="query", status_code=200, role=Role.VIEWER)
async def run_query(
    server_queries: NamedDependency[Queries], request: Request[ApiToken, Any, Any], data: JSONBody[Query]
) -> Response[Answer | bytes]:
    """Run SQL over the tables: read-only, within limits of rows and time. The answer states how complete it is.

    In CSV and Arrow the completeness is the header `X-Completeness`, as JSON. The query is cancelled when its client
    disconnects.
    """
    reply = await while_connected(request, server_queries.run(data, request.user))
    headers: dict[str, str] = {}
    if data.format is not QueryFormat.JSON:
        # an HTTP header must be ASCII, and node names need not be: the standard library's JSON escapes them
        headers["X-Completeness"] = json.dumps(msgspec.to_builtins(reply.completeness), separators=(",", ":"))
    written: Any = Stream(_pieces(reply), media_type=_CONTENT_TYPES[data.format], headers=headers)
    return written


async def _pieces(reply: Reply) -> AsyncIterator[bytes]:
    """Yield the reply in small pieces: no part is copied as a whole, and other tasks run in between."""
    for part in reply.parts:
        for begin in range(0, len(part), _PIECE_BYTES):
            yield bytes(part[begin : begin + _PIECE_BYTES])


@get("/tables/{table:str}/tail", operation_id="tailTable", role=Role.VIEWER)
async def tail_table(
    server_tail: NamedDependency[Tail], table: FromPath[str], where: FromQuery[str] = "", cursor: FromQuery[str] = ""
) -> ServerSentEvent:
    """Stream the rows of a table as they are stored, as server-sent events. `cursor` resumes after that event."""
    rows = await server_tail.open(table, where=where, cursor=cursor)
    return ServerSentEvent(kept_alive(_events(rows)))


async def _events(rows: AsyncIterator[TailRows]) -> AsyncIterator[ServerSentEventMessage]:
    async for event in rows:
        yield ServerSentEventMessage(data=one_line(event), id=event.cursor)


ROUTES = (list_tables, run_query, tail_table)
