"""Errors as problem documents (RFC 9457), whatever raised them: the server, a bad body, an unknown path."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from quarterdeck.model.errors import BadInput, NotFound, Problem, QuarterdeckError, TooLarge, Unavailable, to_problem

log = logging.getLogger(__name__)
_BY_STATUS: dict[int, type[QuarterdeckError]] = {400: BadInput, 404: NotFound, 413: TooLarge, 503: Unavailable}


def _respond(request: Request[Any, Any, Any], problem: Problem) -> Response[Problem]:
    request.scope["state"]["error_code"] = problem.code
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
    return Response(problem, status_code=problem.status, media_type="application/problem+json", headers=headers)


def from_error(request: Request[Any, Any, Any], error: QuarterdeckError) -> Response[Problem]:
    """An error of ours."""
    if error.http_status == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _respond(request, to_problem(error))


def from_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """An error of the framework: a bad body, an unknown path, a method that is not allowed."""
    kind = _BY_STATUS.get(error.status_code, QuarterdeckError if error.status_code >= 500 else BadInput)
    if error.status_code >= 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = to_problem(kind(error.detail, lines=_details(error.extra)))
    return _respond(request, msgspec.structs.replace(problem, status=error.status_code))


def from_fault(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """A fault of ours: logged with its trace, answered without it."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _respond(request, to_problem(QuarterdeckError(f"The server failed ({type(error).__name__}); see its log.")))


def from_depth(request: Request[Any, Any, Any], error: RecursionError) -> Response[Problem]:
    """A body in a body in a body, which no reader of JSON goes through to its end."""
    log.info("%s %s was not read: %s", request.method, request.url.path, error)
    return _respond(request, to_problem(BadInput("The body is nested too deeply.")))


def _details(extra: Any) -> tuple[str, ...]:
    """The fields that did not fit, as Litestar lists them."""
    if not isinstance(extra, list):
        return ()
    rows: list[Any] = extra  # pyright: ignore[reportUnknownVariableType]
    return tuple(" ".join(str(row[key]) for key in ("key", "message") if key in row) for row in rows)


HANDLERS: Any = {
    QuarterdeckError: from_error,
    HTTPException: from_http,
    RecursionError: from_depth,
    Exception: from_fault,
}
