"""Children that an earlier agent left with the keeper and that nobody has claimed in this one.

A child whose purpose is over or that is no longer wanted is ended. A child of which nothing is known, because its
record was lost, continues. It is kept without rules, so that its output is stored and it can be ended, until somebody
claims it or it ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from quarterdeck.agent.keeper.messages import ChildStatus
from quarterdeck.agent.processes.readings import Past
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import ProcessSettings

log = logging.getLogger(__name__)

#: how long the end of an unknown process is remembered, in case somebody claims it
KEPT_S = 3600.0
_GOES_ON = (
    "This node has no record of its job: its job ledger was lost or damaged. It goes on until it ends or somebody ends "
    "it; if the server still has the job, it is taken up."
)


class Fate(Enum):
    """The decision about a child that an earlier agent left."""

    WANTED = auto()  #: somebody is about to claim it
    OVER = auto()  #: its job has a result, or its service is not wanted any more: it is ended
    UNKNOWN = auto()  #: it goes on


#: returns the fate of each of these ids
Judge = Callable[[Sequence[str]], Awaitable[Mapping[str, Fate]]]


@dataclass(frozen=True, slots=True)
class FoundChild:
    """A child that an earlier agent started, with what that agent read of it."""

    status: ChildStatus
    past: Past | None


class Unclaimed:
    """The children that nobody has claimed.

    `claim` keeps one as this process, `release` forgets one or ends it if it runs, `spawn` runs a task.
    """

    def __init__(
        self,
        *,
        claim: Callable[[Process], SupervisedProcess],
        release: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._claim = claim
        self._release = release
        self._spawn = spawn
        self._children: dict[str, FoundChild] = {}
        self._unknown: dict[str, SupervisedProcess] = {}

    def __contains__(self, process_id: str) -> bool:
        """Return whether somebody may claim this id: a child that was found, or one that runs unknown."""
        return process_id in self._children or process_id in self._unknown

    def found(self, children: Mapping[str, FoundChild]) -> None:
        """Begin with these."""
        self._children = dict(children)

    def pop_child(self, process_id: str) -> FoundChild | None:
        """Take a child out, for the process that claims it."""
        return self._children.pop(process_id, None)

    def pop_unknown(self, process_id: str) -> SupervisedProcess | None:
        """Take out one that runs unknown, for a caller that knows it."""
        return self._unknown.pop(process_id, None)

    async def judge(self, judge: Judge, *, belongs: Callable[[str], bool]) -> None:
        """Do what `judge` says with each child for whose id `belongs` holds."""
        if not (ids := [each for each in self._children if belongs(each)]):
            return
        fates = await judge(ids)
        for process_id in ids:
            if process_id not in self._children:  # claimed meanwhile
                continue
            if fates[process_id] is Fate.OVER:
                self.end_child(process_id)
            elif fates[process_id] is Fate.UNKNOWN:
                self._keep_unknown(process_id)

    def end_child(self, process_id: str) -> None:
        """End a child, and store what it prints until then. Without effect when it was claimed."""
        if process_id in self._children:
            log.warning("the process '%s' belongs to nothing that is to run here: it is ended", process_id)
            self._claim(_without_rules(process_id))
            self._release(process_id)

    def end_unknown(self, process_id: str, why: str) -> bool:
        """End one that runs unknown; return whether there is one. `why`: in words that follow "It was"."""
        process = self._unknown.get(process_id)
        if process is None or process.pid is None:
            return False
        process.tell(Ending.KILLED, why=why)
        return True

    def _keep_unknown(self, process_id: str) -> None:
        log.warning("nothing is known here of the process '%s'. %s", process_id, _GOES_ON)
        process = self._unknown[process_id] = self._claim(_without_rules(process_id))
        process.note(Level.OPS_ERROR, _GOES_ON)
        self._spawn(self._forget_later(process))

    async def _forget_later(self, process: SupervisedProcess) -> None:
        await process.over()
        await asyncio.sleep(KEPT_S)
        if self._unknown.get(process.id) is process:
            del self._unknown[process.id]
            self._release(process.id)


def _without_rules(process_id: str) -> Process:
    return Process(id=process_id, argv=("",), settings=ProcessSettings())


def all_but(wanted: Collection[str]) -> Judge:
    """Return a judge by which only these are wanted."""

    async def judge(ids: Sequence[str]) -> dict[str, Fate]:
        return {each: Fate.WANTED if each in wanted else Fate.OVER for each in ids}

    return judge
