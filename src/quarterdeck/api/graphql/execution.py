"""Execution of a request: one answer, or the events of a subscription, as JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from quarterdeck.api.graphql import errors
from quarterdeck.api.graphql.handlers import Asked, Context
from quarterdeck.api.graphql.lists import Lists
from quarterdeck.api.graphql.request import GraphQLRequest
from quarterdeck.api.graphql.schema import schema

schema()  # made with this module, which is imported in a thread, and not by the first request


async def answer(body: GraphQLRequest, request: Asked, services: Mapping[str, Any]) -> bytes:
    """Return the JSON of the answer to a query or mutation. An error of it is in its `errors`."""
    try:
        result = await schema().execute(
            body.query,
            variable_values=body.variables,
            context_value=_context(request, services),
            operation_name=body.operation_name or None,
            allowed_operation_types=(OperationType.QUERY, OperationType.MUTATION),
        )
    except (CannotGetOperationTypeError, InvalidOperationTypeError) as error:
        return msgspec.json.encode({"data": None, "errors": [errors.of(errors.refused(error))]})
    return _encoded(result)


async def events(body: GraphQLRequest, request: Asked, services: Mapping[str, Any]) -> AsyncGenerator[msgspec.Raw]:
    """Yield the JSON of each event of a subscription."""
    results = await schema().subscribe(
        body.query,
        variable_values=body.variables,
        context_value=_context(request, services),
        operation_name=body.operation_name or None,
    )
    async for result in results:
        yield msgspec.Raw(_encoded(result))


def _context(request: Asked, services: Mapping[str, Any]) -> Context:
    return Context(request=request, services=services, audit=services["server_audit"], lists=Lists(services))


def _encoded(result: ExecutionResult) -> bytes:
    found: dict[str, Any] = {"data": result.data}
    if result.errors:
        found["errors"] = [errors.to_json(each) for each in result.errors]
    return msgspec.json.encode(found)
