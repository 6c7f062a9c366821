"""The jobs of a node without a server: `received` takes the server's messages, `heard` has those sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from quarterdeck.agent.commands.command import Command, Outcome
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs.jobs import Jobs
from quarterdeck.agent.jobs.waits import WAITS, Waits
from quarterdeck.agent.processes.unclaimed import Judge
from quarterdeck.link.messages import (
    FromAgent,
    JobOffers,
    JobResults,
    JobsStarted,
    JobsTaken,
    KillJobs,
    ResultsStored,
)
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.jobs import JobOffer, JobResult
from tests.support import until


class Gate:
    """Commands that run until the test lets them go."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.open = asyncio.Event()

    async def run(self, job: JobOffer) -> Outcome:
        self.began.append(job.id)
        await self.open.wait()
        return Outcome(data=job.data)


class Server:
    """The server's end of the link, which never answers."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.heard: list[FromAgent] = []

    async def send(self, message: FromAgent) -> None:
        self.heard.append(message)

    def offer(self, *ids: str, cmd: str = "ping", **fields: Any) -> None:
        self.jobs.received(JobOffers(jobs=tuple(JobOffer(id=id_, cmd=cmd, **fields) for id_ in ids)))

    def kill(self, *ids: str) -> None:
        self.jobs.received(KillJobs(ids=ids))

    def store(self, *ids: str) -> None:
        self.jobs.received(ResultsStored(ids=ids))

    @property
    def taken(self) -> list[str]:
        return [id_ for message in self.heard if isinstance(message, JobsTaken) for id_ in message.ids]

    @property
    def started(self) -> list[str]:
        return [id_ for message in self.heard if isinstance(message, JobsStarted) for id_ in message.ids]

    @property
    def results(self) -> list[JobResult]:
        return [result for message in self.heard if isinstance(message, JobResults) for result in message.results]

    async def result(self, id_: str) -> JobResult:
        """Return the first result of this job, once it exists."""
        await until(lambda: any(result.id == id_ for result in self.results))
        return next(result for result in self.results if result.id == id_)


@asynccontextmanager
async def node(
    home: Path,
    commands: Mapping[str, Command] | None = None,
    *,
    linked: bool = True,
    noted: Callable[[str], None] = lambda _: None,
    recovered: Callable[[Judge], None] = lambda _: None,
    waits: Waits = WAITS,
    **config: Any,
) -> AsyncGenerator[Server]:
    """One run of a node's jobs. It ends as abruptly as by a kill: only the ledger is left."""
    server = Server(
        Jobs(home, config=JobsConfig(**config), commands=commands, noted=noted, recovered=recovered, waits=waits)
    )
    tasks = [asyncio.create_task(server.jobs.run())]
    if linked:
        tasks.append(asyncio.create_task(server.jobs.linked(cast("LiveLink", server))))
    try:
        yield server
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.jobs.close()
    for task in tasks:
        assert task.cancelled() or task.exception() is None, task.exception()
