"""`client.saved_queries`: SQL under names that all users share."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import delete, get, put, segment
from quarterdeck.model.saved_queries import SavedQuery, SaveQuery


class SavedQueries(Namespace):
    """SQL under names that all users share."""

    async def save(self, name: str, request: SaveQuery) -> SavedQuery:
        """Save a query under a name, in place of the version that the request replaces, if any."""
        return await self._connection.send(put(f"/saved-queries/{segment(name)}", SavedQuery, request))

    async def list(self) -> Sequence[SavedQuery]:
        """Return all saved queries, by name."""
        return await self._connection.send(get("/saved-queries", list[SavedQuery]))

    async def get(self, name: str) -> SavedQuery:
        """Return one saved query. `client.queries.run` runs its SQL."""
        return await self._connection.send(get(f"/saved-queries/{segment(name)}", SavedQuery))

    async def remove(self, name: str) -> None:
        """Remove a saved query."""
        return await self._connection.send(delete(f"/saved-queries/{segment(name)}"))
