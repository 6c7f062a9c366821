"""The runs of the keeper's children that the agent knows, across connections and across restarts of the keeper.

A child is one run: its id and the time it began. A new keeper, which found what an earlier one left, may report it
again, with the same numbers or with others; what was received, requested and acknowledged of a run stays valid whatever
keeper has it. This module owns no connection: it tells what is new, and what to repeat to a keeper that may have missed
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: higher than every number of a child's output or exit
LAST = 1 << 62


@dataclass(slots=True)
class _Run:
    """The state of one run."""

    began: float
    seen: int = 0  # the newest number that was received
    acked: int = 0
    ended: int = 0  # the number of its exit, once received
    kill_s: float | None = None  # it was asked to end, with this grace period
    forgotten: bool = False  # its exit is acknowledged, and the keeper has not confirmed that
    here: bool = True  # a keeper has it


class KnownRuns:
    """The runs that a keeper has or that are not acknowledged, by the id of the child."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def began(self, child_id: str, began: float) -> bool:
        """Record that the keeper has this run. Return whether it is new."""
        run = self._runs.get(child_id)
        if run is None or run.began not in (began, 0.0):
            run = self._runs[child_id] = _Run(0.0)
        new = not run.began  # an older keeper may report events of a run before the run
        run.began, run.here = began, True
        return new

    def missing(self, here: Iterable[str]) -> list[str]:
        """Return the children that ran and that no keeper has any more; their exits are still to be reported."""
        lost: list[str] = []
        for child_id in self._runs.keys() - set(here):
            run = self._runs[child_id]
            run.here = False
            if run.forgotten:
                del self._runs[child_id]
            elif not run.ended:
                lost.append(child_id)
        return lost

    def heard(self, child_id: str, seq: int, *, exited: bool) -> int | None:
        """Return None if this is new, else the number to acknowledge again, 0 for none."""
        run = self._runs.setdefault(child_id, _Run(0.0))
        if run.forgotten:
            return LAST
        if run.ended or seq <= run.seen:
            return seq if seq <= run.acked else 0
        run.seen = seq
        if exited:
            run.ended = seq
        return None

    def acknowledged(self, child_id: str, seq: int, *, confirmed: bool) -> int:
        """Return the number to acknowledge for `seq`. `confirmed`: this keeper confirms that it forgets a child."""
        run = self._runs.get(child_id)
        if run is None:
            return seq
        run.acked = max(run.acked, seq)
        if not run.ended or seq < run.ended:
            return seq
        run.forgotten = True
        if not (run.here and confirmed):
            del self._runs[child_id]
        return LAST

    def forgotten(self, child_id: str) -> None:
        """Record that the keeper has forgotten the child."""
        run = self._runs.get(child_id)
        if run is not None and run.forgotten:
            del self._runs[child_id]

    def killed(self, child_id: str, grace_s: float) -> None:
        """Record that the child was asked to end."""
        if run := self._runs.get(child_id):
            run.kill_s = grace_s

    def to_forget(self) -> dict[str, int]:
        """Return what to acknowledge again to a keeper that may have missed it."""
        return {child_id: LAST for child_id, run in self._runs.items() if run.forgotten}

    def to_kill(self) -> dict[str, float]:
        """Return the children to ask again to end, with their grace periods."""
        return {
            child_id: run.kill_s for child_id, run in self._runs.items() if run.kill_s is not None and not run.ended
        }
