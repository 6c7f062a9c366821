"""graphql.md: the schema of the GraphQL API, as the server has it, and the role of each of its root fields."""

from __future__ import annotations

from typing import Any

from quarterdeck.api.graphql.schema import schema
from quarterdeck.api.graphql.types import camel
from quarterdeck.model.tokens import Role
from tools.reference.markdown import code, table

_INTRODUCTION = """# GraphQL

The schema that the server answers at `/graphql` and `/graphql/stream`; GraphiQL is at `/graphiql`. The
[guide](../guide/graphql.md) explains both. Fields that are not listed here need the role viewer.
"""


def page() -> str:
    """Return the page."""
    found: list[tuple[str, Any]] = []
    made = schema()
    for name in ("Query", "Mutation", "Subscription"):
        kind: Any = made.get_type_by_name(name)
        found += [(name.lower(), each) for each in kind.fields]
    rows = [
        (code(camel(each.python_name)), of, str(each.metadata["role"]))
        for of, each in found
        if each.metadata["role"] is not Role.VIEWER
    ]
    listed = table(("field", "of", "needs"), rows)
    return "\n".join([_INTRODUCTION, listed, "## Schema\n", f"```graphql\n{made.as_str()}\n```"])
