"""`client.jobs`: the runs of commands, each on one node."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import get, given, number, selecting
from quarterdeck.model.jobs import Job, JobState
from quarterdeck.model.nodes import Selector


class Jobs(Namespace):
    """The runs of commands, each on one node."""

    async def list(
        self,
        selector: Selector = Selector(),
        *,
        state: JobState | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return jobs, newest first: on some nodes, in one state, since a moment in seconds, or all."""
        query = selecting(selector) | given(state=state, since=number(since), limit=str(limit))
        return await self._connection.send(get("/jobs", list[Job], **query))
