"""The body of a GraphQL request."""

from __future__ import annotations

from typing import Any

import msgspec


class GraphQLRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a request, as GraphQL over HTTP defines it. Other keys, such as `extensions`, are ignored."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
