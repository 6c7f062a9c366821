"""Routes of join tokens and API tokens, for administrators only."""

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
from quarterdeck.server.tokens import Tokens


@post("/tokens/join", operation_id="createJoinToken", role=Role.ADMIN, audit=True)
async def create_join_token(server_tokens: NamedDependency[Tokens], data: JSONBody[CreateJoinToken]) -> NewJoinToken:
    """Create a one-time token for a new node. Its secret is returned only here."""
    return await server_tokens.create_join(data)


@get("/tokens/join", operation_id="listJoinTokens", role=Role.ADMIN)
async def list_join_tokens(server_tokens: NamedDependency[Tokens]) -> list[JoinToken]:
    """List join tokens, including used ones."""
    return await server_tokens.list_join()


@delete("/tokens/join/{token_id:str}", operation_id="revokeJoinToken", role=Role.ADMIN, audit=True)
async def revoke_join_token(server_tokens: NamedDependency[Tokens], token_id: FromPath[str]) -> None:
    """Revoke an unused join token."""
    await server_tokens.revoke_join(token_id)


@post("/tokens/api", operation_id="createApiToken", role=Role.ADMIN, audit=True)
async def create_api_token(server_tokens: NamedDependency[Tokens], data: JSONBody[CreateApiToken]) -> NewApiToken:
    """Create a bearer token with a role. Its secret is returned only here."""
    return await server_tokens.create_api(data)


@get("/tokens/api", operation_id="listApiTokens", role=Role.ADMIN)
async def list_api_tokens(server_tokens: NamedDependency[Tokens]) -> list[ApiToken]:
    """List API tokens, without their secrets."""
    return await server_tokens.list_api()


@delete("/tokens/api/{token_id:str}", operation_id="revokeApiToken", role=Role.ADMIN, audit=True)
async def revoke_api_token(server_tokens: NamedDependency[Tokens], token_id: FromPath[str]) -> None:
    """Revoke an API token. It is refused from now on."""
    await server_tokens.revoke_api(token_id)


ROUTES = (
    create_join_token,
    list_join_tokens,
    revoke_join_token,
    create_api_token,
    list_api_tokens,
    revoke_api_token,
)
