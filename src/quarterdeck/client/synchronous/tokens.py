"""`client.tokens`: one-time tokens with which nodes join."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import delete, get, post, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.tokens import CreateJoinToken, JoinToken, NewJoinToken


class Tokens(Namespace):
    """One-time tokens with which nodes join."""

    def create(self, request: CreateJoinToken = CreateJoinToken()) -> NewJoinToken:
        """Create a one-time token for a new node."""
        return self._connection.send(post("/tokens/join", NewJoinToken, request))

    def list(self) -> Sequence[JoinToken]:
        """Return the join tokens, including used ones."""
        return self._connection.send(get("/tokens/join", list[JoinToken]))

    def remove(self, token_id: str) -> None:
        """Revoke an unused join token."""
        return self._connection.send(delete(f"/tokens/join/{segment(token_id)}"))
