"""The GraphQL API: the nouns of REST as one graph, at `/graphql`, with GraphiQL at `/graphiql`.

`handlers` calls the routes of REST, so that roles, checks and audit exist once. `fields` makes a field of each route
and the pages of long lists (`connections`); `subscriptions` makes those of the live streams, and `joins` the fields
that lead from one noun to another. `types` makes the types from the structs of the model. `executor` completes a whole
level of objects at once; it and `limits` bound a request. `errors` writes errors, `schema` puts all together. `routes`
has the routes. It imports the rest at the first request: a server that nobody asks in GraphQL does not need it.
"""

from __future__ import annotations

from quarterdeck.api.graphql.routes import router

__all__ = ["router"]
