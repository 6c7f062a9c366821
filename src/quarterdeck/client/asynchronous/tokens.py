"""`client.tokens`: one-time tokens with which nodes join."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import delete, get, post, segment
from quarterdeck.model.tokens import CreateJoinToken, JoinToken, NewJoinToken


class Tokens(Namespace):
    """One-time tokens with which nodes join."""

    async def create(self, request: CreateJoinToken = CreateJoinToken()) -> NewJoinToken:
        """Create a one-time token for a new node."""
        return await self._connection.send(post("/tokens/join", NewJoinToken, request))

    async def list(self) -> Sequence[JoinToken]:
        """Return the join tokens, including used ones."""
        return await self._connection.send(get("/tokens/join", list[JoinToken]))

    async def remove(self, token_id: str) -> None:
        """Revoke an unused join token."""
        return await self._connection.send(delete(f"/tokens/join/{segment(token_id)}"))
