"""`client.schedules`: commands that are issued repeatedly."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import delete, get, patch, post, segment
from quarterdeck.model.schedules import ChangeSchedule, CreateSchedule, Schedule


class Schedules(Namespace):
    """Commands that are issued repeatedly."""

    async def create(self, request: CreateSchedule) -> Schedule:
        """Create a schedule."""
        return await self._connection.send(post("/schedules", Schedule, request))

    async def list(self) -> Sequence[Schedule]:
        """Return every schedule: when it is due, and the outcome of its last run."""
        return await self._connection.send(get("/schedules", list[Schedule]))

    async def get(self, name: str) -> Schedule:
        """Return one schedule: when it is due, the outcome of its runs, and how many were missed."""
        return await self._connection.send(get(f"/schedules/{segment(name)}", Schedule))

    async def enable(self, name: str) -> Schedule:
        """Enable a schedule. Its next run is the next due time from now."""
        return await self._connection.send(patch(f"/schedules/{segment(name)}", Schedule, ChangeSchedule(enabled=True)))

    async def disable(self, name: str) -> Schedule:
        """Disable a schedule until it is enabled again."""
        return await self._connection.send(
            patch(f"/schedules/{segment(name)}", Schedule, ChangeSchedule(enabled=False))
        )

    async def remove(self, name: str) -> None:
        """Remove a schedule. The commands that it issued continue."""
        return await self._connection.send(delete(f"/schedules/{segment(name)}"))
