"""The streams of a command: its jobs as they change, without or with their output."""

from __future__ import annotations

from typing import Any

import msgspec

from quarterdeck.client.calls import segment
from quarterdeck.client.streams.stream import Stream
from quarterdeck.model.jobs import Job
from quarterdeck.model.output import NodeMessages


class JobStream(Stream[Job]):
    """The jobs of a command as they change."""

    def __init__(self, command_id: str) -> None:
        super().__init__(f"/commands/{segment(command_id)}/events")

    def event(self, kind: str, data: str, cursor: str) -> list[Job]:
        """Return a job in its current state."""
        if kind != "job":
            return []
        self.cursor = cursor
        return [msgspec.json.decode(data, type=Job)]


class OutputStream(Stream[Job | NodeMessages]):
    """The jobs of a command as they change, and their output.

    Events without an id are held back until the next event with an id.
    """

    def __init__(self, command_id: str, *, follow: bool = True, paced: bool = True) -> None:
        path = f"/commands/{segment(command_id)}/output"
        super().__init__(path, follow="" if follow else "false", paced="" if paced else "false")
        self._live = follow
        self._waiting: list[Job | NodeMessages] = []

    def arguments(self, token: str) -> dict[str, Any]:
        """Return the request that opens it. Incomplete events are sent again."""
        self._waiting = []
        return super().arguments(token)

    def event(self, kind: str, data: str, cursor: str) -> list[Job | NodeMessages]:
        """Return jobs, and messages of a node, in the order in which they are shown."""
        if kind == "job":
            self._waiting.append(msgspec.json.decode(data, type=Job))
        elif kind == "messages":
            self._waiting.append(msgspec.json.decode(data, type=NodeMessages))
        if self._live and not cursor and not self.ended:
            return []
        self.cursor = cursor or self.cursor
        ready, self._waiting = self._waiting, []
        return ready
