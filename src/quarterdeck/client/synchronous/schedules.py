"""`client.schedules`: commands that are issued repeatedly."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import delete, get, patch, post, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.schedules import ChangeSchedule, CreateSchedule, Schedule


class Schedules(Namespace):
    """Commands that are issued repeatedly."""

    def create(self, request: CreateSchedule) -> Schedule:
        """Create a schedule."""
        return self._connection.send(post("/schedules", Schedule, request))

    def list(self) -> Sequence[Schedule]:
        """Return every schedule: when it is due, and the outcome of its last run."""
        return self._connection.send(get("/schedules", list[Schedule]))

    def get(self, name: str) -> Schedule:
        """Return one schedule: when it is due, the outcome of its runs, and how many were missed."""
        return self._connection.send(get(f"/schedules/{segment(name)}", Schedule))

    def enable(self, name: str) -> Schedule:
        """Enable a schedule. Its next run is the next due time from now."""
        return self._connection.send(patch(f"/schedules/{segment(name)}", Schedule, ChangeSchedule(enabled=True)))

    def disable(self, name: str) -> Schedule:
        """Disable a schedule until it is enabled again."""
        return self._connection.send(patch(f"/schedules/{segment(name)}", Schedule, ChangeSchedule(enabled=False)))

    def remove(self, name: str) -> None:
        """Remove a schedule. The commands that it issued continue."""
        return self._connection.send(delete(f"/schedules/{segment(name)}"))
