"""`client.saved_queries`: SQL under names that all users share."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import delete, get, put, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.saved_queries import SavedQuery, SaveQuery


class SavedQueries(Namespace):
    """SQL under names that all users share."""

    def save(self, name: str, request: SaveQuery) -> SavedQuery:
        """Save a query under a name, in place of the version that the request replaces, if any."""
        return self._connection.send(put(f"/saved-queries/{segment(name)}", SavedQuery, request))

    def list(self) -> Sequence[SavedQuery]:
        """Return all saved queries, by name."""
        return self._connection.send(get("/saved-queries", list[SavedQuery]))

    def get(self, name: str) -> SavedQuery:
        """Return one saved query. `client.queries.run` runs its SQL."""
        return self._connection.send(get(f"/saved-queries/{segment(name)}", SavedQuery))

    def remove(self, name: str) -> None:
        """Remove a saved query."""
        return self._connection.send(delete(f"/saved-queries/{segment(name)}"))
