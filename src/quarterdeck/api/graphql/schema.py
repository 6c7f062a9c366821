"""The schema: the types, queries, mutations and subscriptions together, with the limits and the executor.

It is made once for a process, without a server: the services come with the context of each request.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from quarterdeck.api.graphql.executor import LevelExecutor
from quarterdeck.api.graphql.fields import mutations, queries
from quarterdeck.api.graphql.joins import joins
from quarterdeck.api.graphql.limits import DocumentLimits
from quarterdeck.api.graphql.subscriptions import subscriptions
from quarterdeck.api.graphql.types import SCALARS, Types


class QuietSchema(strawberry.Schema):
    """A schema that leaves the log to `errors`, which knows what is unexpected."""

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """Log nothing."""


@cache
def schema() -> strawberry.Schema:
    """Return the schema."""
    types = Types(joins())
    return QuietSchema(
        query=_root("Query", queries(types)),
        mutation=_root("Mutation", mutations(types)),
        subscription=_root("Subscription", subscriptions(types)),
        config=StrawberryConfig(auto_camel_case=True, scalar_map=SCALARS, sort_schema=True),
        extensions=[DocumentLimits],
        execution_context_class=LevelExecutor,
    )


def _root(name: str, fields: dict[str, Any]) -> type:
    cls = type(name, (), {"__annotations__": {}, "__module__": __name__, **fields})
    return strawberry.type(cls, name=name)
