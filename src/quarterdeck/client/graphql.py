"""GraphQL requests of the client: a call, and the data or the error of its answer. It does no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quarterdeck.client.calls import Call
from quarterdeck.model.errors import BY_CODE, QuarterdeckError


class GraphQLError(msgspec.Struct, frozen=True, kw_only=True):
    """One error of an answer."""

    message: str
    path: tuple[str | int, ...] = ()
    extensions: dict[str, Any] = {}


class GraphQLAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: data, or the errors that prevented some of it or all."""

    data: dict[str, Any] | None = None
    errors: tuple[GraphQLError, ...] = ()

    def whole(self) -> dict[str, Any]:
        """Return the data; raise the first error if there is one."""
        if self.errors:
            raise _error(self.errors[0])
        return self.data or {}


def ask(query: str, variables: Mapping[str, Any]) -> Call[GraphQLAnswer]:
    """Return the call of a query or mutation."""
    body = msgspec.json.encode({"query": query, "variables": dict(variables)})
    return Call(method="POST", path="/graphql", returns=GraphQLAnswer, body=body)


def _error(found: GraphQLError) -> QuarterdeckError:
    place = f"{'.'.join(map(str, found.path))}: " if found.path else ""
    kind = BY_CODE.get(str(found.extensions.get("code")), QuarterdeckError)
    lines = tuple(map(str, found.extensions.get("lines", ())))
    return kind(place + found.message, hint=str(found.extensions.get("hint", "")), lines=lines)
