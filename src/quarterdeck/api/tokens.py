"""Join tokens and API tokens over HTTP; administrators only."""

from __future__ import annotations

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.model.tokens import (
    ApiToken,
    CreateApiToken,
    CreateJoinToken,
    JoinToken,
    NewApiToken,
    NewJoinToken,
    Role,
)
from quarterdeck.server.server import Server


@post("/tokens/join", operation_id="createJoinToken", role=Role.ADMIN, audit=True)
async def create_join_token(server: NamedDependency[Server], data: JSONBody[CreateJoinToken]) -> NewJoinToken:
    """A one-time token for a new node. The secret is shown here and never again."""
    return await server.tokens.create_join(data)


@get("/tokens/join", operation_id="listJoinTokens", role=Role.ADMIN)
async def list_join_tokens(server: NamedDependency[Server]) -> list[JoinToken]:
    """Join tokens, used ones too."""
    return await server.tokens.list_join()


@delete("/tokens/join/{token_id:str}", operation_id="revokeJoinToken", role=Role.ADMIN, audit=True)
async def revoke_join_token(server: NamedDependency[Server], token_id: FromPath[str]) -> None:
    """Makes an unused join token worthless."""
    await server.tokens.revoke_join(token_id)


@post("/tokens/api", operation_id="createApiToken", role=Role.ADMIN, audit=True)
async def create_api_token(server: NamedDependency[Server], data: JSONBody[CreateApiToken]) -> NewApiToken:
    """A bearer token with a role. The secret is shown here and never again."""
    return await server.tokens.create_api(data)


@get("/tokens/api", operation_id="listApiTokens", role=Role.ADMIN)
async def list_api_tokens(server: NamedDependency[Server]) -> list[ApiToken]:
    """API tokens, without their secrets."""
    return await server.tokens.list_api()


@delete("/tokens/api/{token_id:str}", operation_id="revokeApiToken", role=Role.ADMIN, audit=True)
async def revoke_api_token(server: NamedDependency[Server], token_id: FromPath[str]) -> None:
    """Ends an API token at once."""
    await server.tokens.revoke_api(token_id)


ROUTES = (
    create_join_token,
    list_join_tokens,
    revoke_join_token,
    create_api_token,
    list_api_tokens,
    revoke_api_token,
)
