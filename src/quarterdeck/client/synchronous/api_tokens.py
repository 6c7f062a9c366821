"""`client.api_tokens`: bearer tokens of the API."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import delete, get, post, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.tokens import ApiToken, CreateApiToken, NewApiToken, Role


class ApiTokens(Namespace):
    """Bearer tokens of the API."""

    def create(self, name: str, role: Role, *, expires_s: float | None = None) -> NewApiToken:
        """Create a bearer token with a role."""
        body = CreateApiToken(name=name, role=role, expires_s=expires_s)
        return self._connection.send(post("/tokens/api", NewApiToken, body))

    def list(self) -> Sequence[ApiToken]:
        """Return the API tokens, without their secrets."""
        return self._connection.send(get("/tokens/api", list[ApiToken]))

    def remove(self, token_id: str) -> None:
        """Revoke an API token immediately."""
        return self._connection.send(delete(f"/tokens/api/{segment(token_id)}"))
