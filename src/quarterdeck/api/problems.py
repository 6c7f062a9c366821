"""Exception handlers that answer with problem documents (RFC 9457), whatever raised the error."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Send

from quarterdeck.model.errors import BadInput, NotFound, Problem, QuarterdeckError, TooLarge, Unavailable, to_problem

log = logging.getLogger(__name__)
_MEDIA_TYPE = "application/problem+json"
_BY_STATUS: dict[int, type[QuarterdeckError]] = {400: BadInput, 404: NotFound, 413: TooLarge, 503: Unavailable}


def _respond(request: Request[Any, Any, Any], problem: Problem) -> Response[Problem]:
    request.scope["state"]["error_code"] = problem.code
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
    return Response(problem, status_code=problem.status, media_type=_MEDIA_TYPE, headers=headers)


async def send_problem(error: QuarterdeckError, send: Send) -> None:
    """Answer with an error before the application is called."""
    problem = to_problem(error)
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", _MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def from_error(request: Request[Any, Any, Any], error: QuarterdeckError) -> Response[Problem]:
    """Answer with an error of the server."""
    if error.http_status == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _respond(request, to_problem(error))


def from_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Answer with an error of the framework: an invalid body, an unknown path, a method that is not allowed."""
    kind = _BY_STATUS.get(error.status_code, QuarterdeckError if error.status_code >= 500 else BadInput)
    if error.status_code >= 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = to_problem(kind(error.detail, lines=_details(error.extra)))
    return _respond(request, msgspec.structs.replace(problem, status=error.status_code))


def from_fault(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Log an unexpected exception with its traceback, and answer without the traceback."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _respond(request, to_problem(QuarterdeckError(f"The server failed ({type(error).__name__}); see its log.")))


def from_depth(request: Request[Any, Any, Any], error: RecursionError) -> Response[Problem]:
    """Answer `BadInput` to a body that is nested too deeply for the JSON parser."""
    log.info("%s %s was not read: %s", request.method, request.url.path, error)
    return _respond(request, to_problem(BadInput("The body is nested too deeply.")))


def _details(extra: Any) -> tuple[str, ...]:
    """Return the invalid fields, as Litestar lists them."""
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
