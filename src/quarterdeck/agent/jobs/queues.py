"""Decides whose turn it is: jobs of one queue run one at a time in order, the others together, within a limit.

It handles ids only, and does not run jobs. The next turn goes to the oldest job among those whose queue is free.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple


class _Place(NamedTuple):
    number: int  # the order of acceptance
    id: str
    queue: str
    immediate: bool


class Queues:
    """The waiting and the active jobs: at most `limit` active ones, not counting `immediate` ones."""

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._numbers = itertools.count()
        self._lines: dict[str, dict[str, _Place]] = {}  # queue → its waiting jobs, in order; "" for no queue
        self._waiting: dict[str, str] = {}  # id → queue
        self._begun: dict[str, _Place] = {}
        self._busy: set[str] = set()  # queues that have an active job
        self._counted = 0  # active jobs that count against the limit

    def begin(self, id_: str, queue: str = "", *, immediate: bool = False) -> bool:
        """Return whether a new job may start now; it then counts as active."""
        place = _Place(next(self._numbers), id_, queue, immediate)
        if self._lines.get(queue) or not self._free(place):
            return False
        self._enter(place)
        return True

    def wait(self, id_: str, queue: str = "", *, immediate: bool = False) -> None:
        """Add a waiting job behind the others."""
        self._lines.setdefault(queue, {})[id_] = _Place(next(self._numbers), id_, queue, immediate)
        self._waiting[id_] = queue

    def next(self) -> list[str]:
        """Return the waiting jobs whose turn has come; they then count as active."""
        turn: list[str] = []
        while heads := [place for line in self._lines.values() if self._free(place := next(iter(line.values())))]:
            place = min(heads)
            self._leave(place.id)
            self._enter(place)
            turn.append(place.id)
        return turn

    def waits(self, id_: str) -> bool:
        """Return whether this job waits."""
        return id_ in self._waiting

    def end(self, id_: str) -> None:
        """Remove a job that has ended or no longer waits."""
        if id_ in self._waiting:
            self._leave(id_)
        elif place := self._begun.pop(id_, None):
            self._busy.discard(place.queue)
            self._counted -= not place.immediate

    def _free(self, place: _Place) -> bool:
        return place.queue not in self._busy and (place.immediate or self._counted < self._limit)

    def _enter(self, place: _Place) -> None:
        self._begun[place.id] = place
        self._counted += not place.immediate
        if place.queue:
            self._busy.add(place.queue)

    def _leave(self, id_: str) -> None:
        queue = self._waiting.pop(id_)
        line = self._lines[queue]
        del line[id_]
        if not line:
            del self._lines[queue]
