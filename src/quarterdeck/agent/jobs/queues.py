"""Whose turn it is: jobs of one queue one at a time in order, the others together, never more than a limit.

Knows ids only, does nothing with them. A turn goes to the job that was accepted first among those whose queue is free.
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
    """The jobs that wait and those whose turn it is: of these at most `limit`, not counting `immediate` ones."""

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._numbers = itertools.count()
        self._lines: dict[str, dict[str, _Place]] = {}  # queue → those that wait in it, in order; "" for no queue
        self._waiting: dict[str, str] = {}  # id → queue
        self._begun: dict[str, _Place] = {}
        self._busy: set[str] = set()  # queues with a job whose turn it is
        self._counted = 0  # of those whose turn it is, how many count against the limit

    def begin(self, id_: str, queue: str = "", *, immediate: bool = False) -> bool:
        """Whether a new job's turn is now: then it is taken for begun."""
        place = _Place(next(self._numbers), id_, queue, immediate)
        if self._lines.get(queue) or not self._free(place):
            return False
        self._enter(place)
        return True

    def wait(self, id_: str, queue: str = "", *, immediate: bool = False) -> None:
        """A job waits, behind those that wait."""
        self._lines.setdefault(queue, {})[id_] = _Place(next(self._numbers), id_, queue, immediate)
        self._waiting[id_] = queue

    def next(self) -> list[str]:
        """Those that waited and whose turn is now; they are taken for begun."""
        turn: list[str] = []
        while heads := [place for line in self._lines.values() if self._free(place := next(iter(line.values())))]:
            place = min(heads)
            self._leave(place.id)
            self._enter(place)
            turn.append(place.id)
        return turn

    def waits(self, id_: str) -> bool:
        """Whether this job waits."""
        return id_ in self._waiting

    def end(self, id_: str) -> None:
        """A job is over, or does not wait any more."""
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
