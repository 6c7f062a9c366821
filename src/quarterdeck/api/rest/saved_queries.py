"""Routes of saved queries."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.api.access import describe
from quarterdeck.model.saved_queries import SavedQuery, SaveQuery
from quarterdeck.model.tokens import Role
from quarterdeck.server.saved_queries import SavedQueries

Asked = Request[Any, Any, Any]
_SHOWN = 200  # characters of the SQL in the audit log


@get("/saved-queries", operation_id="listSavedQueries", role=Role.VIEWER)
async def list_saved_queries(server_saved_queries: NamedDependency[SavedQueries]) -> list[SavedQuery]:
    """List the saved queries, by name."""
    return await server_saved_queries.list()


@get("/saved-queries/{name:str}", operation_id="showSavedQuery", role=Role.VIEWER)
async def show_saved_query(server_saved_queries: NamedDependency[SavedQueries], name: FromPath[str]) -> SavedQuery:
    """Show a saved query. `POST /query` with its SQL runs it."""
    return await server_saved_queries.show(name)


@put("/saved-queries/{name:str}", operation_id="saveQuery", role=Role.OPERATOR, audit=True)
async def save_query(
    server_saved_queries: NamedDependency[SavedQueries],
    request: Asked,
    name: FromPath[str],
    data: JSONBody[SaveQuery],
) -> SavedQuery:
    """Save a query under a name. Saving the same again changes nothing.

    To change a saved query, give in `replaces` the version that it has: the request is refused when the query was
    changed since, or when the name is used and `replaces` is empty.
    """
    describe(request.scope, target=name, detail=data.sql[:_SHOWN])
    return await server_saved_queries.save(name, data, request.user)


@delete("/saved-queries/{name:str}", operation_id="removeSavedQuery", role=Role.OPERATOR, audit=True)
async def remove_saved_query(server_saved_queries: NamedDependency[SavedQueries], name: FromPath[str]) -> None:
    """Remove a saved query."""
    await server_saved_queries.remove(name)


ROUTES = (list_saved_queries, show_saved_query, save_query, remove_saved_query)
