"""The conversation about jobs with each agent: offers and kills are sent, reports are received and stored.

Reports that arrive while earlier ones are being stored are stored together; when too many wait, the agent waits. It
never decides what is offered or what a report changes: `jobs.py` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from quarterdeck.kit.race import until_first
from quarterdeck.link.conversation import Conversation
from quarterdeck.link.limits import in_messages
from quarterdeck.link.messages import JobResults, JobsStarted, JobsTaken, ResultsStored
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.server.jobs.jobs import JobReport, NextJobs
from quarterdeck.server.jobs.upcoming import NewJob, Upcoming
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.session import Session
from quarterdeck.server.signals import Signal

#: nodes for which there are new jobs or kills in the store
JOBS_DUE = Signal("jobs due", NodeKey)
#: reports that wait to be stored; while there are more, the agent waits
WAITING_REPORTS = 64


class NodeJobs(Protocol):
    """Decides offers and stores reports: `Jobs`."""

    async def next(self, agent: AgentIdentity, number: int) -> NextJobs: ...

    async def reported(self, agent: AgentIdentity, reports: Sequence[JobReport]) -> tuple[str, ...]: ...


class JobLinks:
    """The topic of jobs."""

    takes = (JobsTaken, JobsStarted, JobResults)

    def __init__(self, jobs: NodeJobs, *, links: Links) -> None:
        self._jobs = jobs
        self._links = links

    def open(self, link: Session) -> JobExchange:
        """Open the conversation on a new link."""
        return JobExchange(link, self._jobs)

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]:
        """Return which of these nodes are connected now."""
        return self._links.here(keys)

    def offer(self, new: Mapping[NodeKey, Sequence[NewJob]]) -> None:
        """Offer new jobs, which are stored as offered, to these nodes."""
        for key, jobs in new.items():
            if exchange := self._links.find(key, self):
                exchange.upcoming.add(jobs)

    def wake(self, keys: Iterable[NodeKey]) -> None:
        """Send these nodes the new jobs and kills that the store has for them."""
        for key in keys:
            if exchange := self._links.find(key, self):
                exchange.upcoming.changed()


class JobExchange(Conversation):
    """The jobs of one node over one link."""

    def __init__(self, session: Session, jobs: NodeJobs) -> None:
        self.upcoming = Upcoming(partial(jobs.next, session.agent))
        self._session = session
        self._jobs = jobs
        self._reports = asyncio.Queue[JobReport](WAITING_REPORTS)

    async def received(self, message: JobReport) -> None:
        """Queue a report to be stored; wait while too many are queued."""
        await self._reports.put(message)

    async def run(self) -> None:
        """Send offers and kills, and store reports, until the link ends."""
        await until_first(self._offer(), self._store())

    async def _offer(self) -> None:
        while True:
            for message in await self.upcoming.next():
                await self._session.send(message)

    async def _store(self) -> None:
        """Store the queued reports together, and confirm the results that are on disk."""
        while True:
            reports = [await self._reports.get()]
            while not self._reports.empty():
                reports.append(self._reports.get_nowait())
            stored = await self._jobs.reported(self._session.agent, reports)
            for ids in in_messages(stored):
                await self._session.send(ResultsStored(ids=ids))
