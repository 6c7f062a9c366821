"""An agent's jobs over a real link: accepted and answered across cut links and restarts, until results are stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent.agent import Agent
from quarterdeck.agent.connection import Retries
from quarterdeck.kit.backoff import Backoff
from quarterdeck.link.messages import JobResults
from quarterdeck.model.config import AgentConfig, JobsConfig
from quarterdeck.model.hosts import Pong
from quarterdeck.model.jobs import JobOffer, JobResult, JobState
from quarterdeck.model.nodes import NodeKey
from quarterdeck.testing.instances import MemoryInstances
from quarterdeck.testing.link import LinkServer
from tests.support import until


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[LinkServer]:
    async with LinkServer(tmp_path / "server") as running:
        yield running


@asynccontextmanager
async def agent(
    home: Path, server: LinkServer, *, token: str = "", **jobs: object
) -> AsyncGenerator[asyncio.Task[None]]:
    """One run of an agent."""
    config = AgentConfig(
        home=str(home),
        server=server.address,
        token=token,
        jobs=JobsConfig(**jobs),  # type: ignore[arg-type]
    )
    running = Agent(config, instances=MemoryInstances, retries=Retries(unreachable=Backoff(0.2, 0.2)))
    task = asyncio.create_task(running.run())
    yield task
    running.stop()
    await task


async def offer(server: LinkServer, *ids: str, cmd: str = "ping", **fields: object) -> None:
    server.fleet.offers += [JobOffer(id=id_, cmd=cmd, **fields) for id_ in ids]  # type: ignore[arg-type]
    server.fleet.job_links.wake([NodeKey(1, 1)])


def results(server: LinkServer) -> list[JobResult]:
    reports = (report for _, report in server.fleet.job_reports)
    return [result for report in reports if isinstance(report, JobResults) for result in report.results]


async def has_results(server: LinkServer, *ids: str) -> None:
    await until(lambda: {result.id for result in results(server)} >= set(ids))


async def test_jobs_are_taken_run_and_answered(server: LinkServer, tmp_path: Path) -> None:
    await offer(server, "before it came")
    async with agent(tmp_path, server, token=await server.new_token(), allow=("ping",)):
        await has_results(server, "before it came")
        await offer(server, *(f"job-{number}" for number in range(200)))
        await offer(server, "refused", cmd="restart")
        await has_results(server, "refused", *(f"job-{number}" for number in range(200)))
    found = results(server)
    assert max(Counter(result.id for result in found).values()) == 1
    states = {result.id: result.state for result in found}
    assert states.pop("refused") is JobState.REFUSED
    assert set(states.values()) == {JobState.OK}
    msgspec.json.decode(found[0].data, type=Pong)


async def test_results_are_sent_over_each_link_until_the_server_has_them(server: LinkServer, tmp_path: Path) -> None:
    server.fleet.stores_results = False
    await offer(server, "a")
    async with agent(tmp_path, server, token=await server.new_token()):
        await has_results(server, "a")
        server.fleet.job_reports.clear()
        await server.stop()
        await server.start()
        await has_results(server, "a")
    server.fleet.job_reports.clear()
    server.fleet.offers.clear()
    server.fleet.stores_results = True
    async with agent(tmp_path, server):
        await has_results(server, "a")
        await offer(server, "b")
        await has_results(server, "b")
    server.fleet.job_reports.clear()
    server.fleet.offers.clear()
    async with agent(tmp_path, server):
        await offer(server, "c")
        await has_results(server, "c")
    assert [result.id for result in results(server)] == ["c"]


async def test_a_restart_ends_the_agent_when_its_result_is_stored(server: LinkServer, tmp_path: Path) -> None:
    async with agent(tmp_path, server, token=await server.new_token()) as life:
        await offer(server, "again", cmd="restart")
        await life
    assert [(result.id, result.state) for result in results(server)] == [("again", JobState.OK)]
    async with agent(tmp_path, server) as life:
        await has_results(server, "again")
        await offer(server, "ping")
        await has_results(server, "ping")
        assert not life.done()
    assert {result.state for result in results(server)} == {JobState.OK}
