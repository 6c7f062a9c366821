"""The REST API: one file for each noun has its routes, under `/api/v1`, and their roles.

A handler takes the service that does the work as a parameter; `api/app.py` provides it. It only reads the request,
describes it for the audit log, and writes the answer. `selectors` has the query parameters that choose nodes.
"""

from __future__ import annotations

from litestar import Router

from quarterdeck.api.rest import (
    files,
    jobs,
    logins,
    messages,
    modules,
    nodes,
    saved_queries,
    schedules,
    scripts,
    services,
    tables,
    tokens,
)

_NOUNS = (nodes, jobs, messages, schedules, scripts, modules, services, files, tables, saved_queries, tokens, logins)

#: the handlers of all nouns
HANDLERS = tuple(route for noun in _NOUNS for route in noun.ROUTES)
#: one for each noun, tagged with its name
ROUTERS = tuple(
    Router("/api/v1", route_handlers=noun.ROUTES, tags=[noun.__name__.rpartition(".")[2]]) for noun in _NOUNS
)
