"""Errors of GraphQL answers: a message, and in `extensions` the rest of a problem document, such as code and hint."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from quarterdeck.model.errors import BadQuery, QuarterdeckError, to_problem

log = logging.getLogger(__name__)


def to_json(error: GraphQLError) -> dict[str, Any]:
    """Return an error as the answer has it. An unexpected one is logged, and the answer does not describe it."""
    found = of(_cause(error))
    if error.locations:
        found["locations"] = [{"line": each.line, "column": each.column} for each in error.locations]
    if error.path:
        found["path"] = error.path
    return found


def of(error: QuarterdeckError) -> dict[str, Any]:
    """Return an error of ours as the answer has it, without its place."""
    problem = msgspec.to_builtins(to_problem(error))  # without empty fields
    title = problem.pop("title")
    return {"message": problem.pop("detail", title), "extensions": problem}


def _cause(error: GraphQLError) -> QuarterdeckError:
    original: BaseException | None = error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    known = _known(original, error)
    if known is None or known.http_status == 500:
        log.error("a field failed", exc_info=original)
    return known or QuarterdeckError(f"The server failed ({type(original).__name__}); see its log.")


def _known(original: BaseException | None, error: GraphQLError) -> QuarterdeckError | None:
    """Return the error of ours that this one stands for; None for an unexpected one."""
    match original:
        case QuarterdeckError():
            return original
        case GraphQLError():  # of the document or its variables
            return BadQuery(original.message)
        case CannotGetOperationTypeError() | InvalidOperationTypeError():
            return refused(original)
        case RecursionError():
            return BadQuery("The query is nested too deeply.")
        case ValueError() | TypeError() if error.path is None:  # a value that is none of its type
            return BadQuery(error.message)
        case _:
            return None


def refused(error: CannotGetOperationTypeError | InvalidOperationTypeError) -> BadQuery:
    """Return the error for a document without the operation that was named, or with one for the other route."""
    if isinstance(error, CannotGetOperationTypeError):
        return BadQuery("The document has no operation of this name.")
    return BadQuery(
        "This operation is not answered here.",
        hint="Send queries and mutations to `/graphql`, and subscriptions to `/graphql/stream`.",
    )
