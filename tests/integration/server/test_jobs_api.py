"""Commands over HTTP: issued, followed and resumed as server-sent events, and audited; the agent is a test."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest

from quarterdeck.client import AsyncClient
from quarterdeck.client.streams.commands import JobStream
from quarterdeck.link.messages import JobOffers, JobResults, ResultsStored
from quarterdeck.model.errors import AlreadyExists, NoSuchNodes, NotFound, TooLarge
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES, CreateCommand, JobResult, JobState
from quarterdeck.model.nodes import Selector
from quarterdeck.server.server import Server
from tests.integration.server.agent import connected, joined


async def test_a_command_is_asked_followed_and_audited(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    # what a reader of lines may take for the end of one
    data = "one\N{LINE SEPARATOR}two\x85three\r\nfour"
    made = await client.commands.create(CreateCommand(cmd="ping", args={"n": 1}, data=data, id="deploy 7?"))
    offers = await agent.expect(JobOffers)
    assert (offers.jobs[0].args, offers.jobs[0].data) == ({"n": 1}, data)

    seen: list[tuple[JobState, str]] = []
    async for job in client.commands.follow(made.id):
        seen.append((job.state, job.result.data if job.result else ""))
        if job.state is JobState.QUEUED:
            await agent.say(JobResults(results=(JobResult(id="deploy 7?", state=JobState.OK, data=data),)))
    assert seen == [(JobState.QUEUED, ""), (JobState.OK, data)]
    assert (await agent.expect(ResultsStored)).ids == ("deploy 7?",)

    shown = await client.commands.get("deploy 7?")
    assert shown.states == {JobState.OK: 1}
    assert [command.id for command in await client.commands.list()] == ["deploy 7?"]
    assert await client.jobs.list(Selector(nodes=("1/1",)), state=JobState.OK, since=0.0) == list(shown.jobs)
    assert (await client.commands.kill("deploy 7?", ["web-1"])).states == {JobState.OK: 1}, "it is over"
    again = await client.commands.rerun("deploy 7?")
    assert [job.node_name for job in again.jobs] == ["web-1"]
    entries = {entry.action: entry for entry in await client.audit.list()}
    assert (entries["createCommand"].target, entries["createCommand"].detail) == ("deploy 7?", "ping n=1 on web-1")
    assert (entries["endCommand"].actor, entries["endCommand"].detail) == ("local", "ping: OK 1")
    assert (entries["killCommand"].target, entries["killCommand"].detail) == ("deploy 7?", "on web-1")
    assert again.id in entries["rerunCommand"].detail
    await agent.close()


async def test_a_command_can_be_asked_and_waited_for_in_one_call(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    waiting = asyncio.create_task(client.commands.create(CreateCommand(cmd="ping", id="c"), wait_s=30))
    await agent.expect(JobOffers)
    await agent.say(JobResults(results=(JobResult(id="c", state=JobState.OK, data="{}"),)))
    made = await waiting
    assert [(job.state, job.result and job.result.data) for job in made.jobs] == [(JobState.OK, "{}")]
    assert [entry.action for entry in await client.audit.list()][:2] == ["endCommand", "createCommand"]
    late = await client.commands.create(CreateCommand(cmd="ping"), wait_s=0.01)
    assert late.states == {JobState.QUEUED: 1}
    await agent.close()


async def test_a_stream_goes_on_after_the_last_event_that_arrived(server: Server, client: AsyncClient) -> None:
    await joined(server)
    await client.commands.create(CreateCommand(cmd="ping", id="c"))
    await client.commands.kill("c")
    whole = [event async for event in client.commands.follow("c")]
    assert [job.state for job in whole] == [JobState.KILLED]
    (change,) = [each async for each in await server.commands.follow("c")]
    stream = JobStream("c")
    stream.cursor = str(change.number)
    async with (
        httpx.AsyncClient(base_url=client.endpoint.url) as http,
        http.stream(**stream.arguments(client.endpoint.token)) as response,
    ):
        resumed = [job async for line in response.aiter_lines() for job in stream.feed(line)]
    assert resumed == []
    assert stream.ended


async def test_what_cannot_be_asked_is_said_in_words(server: Server, client: AsyncClient) -> None:
    with pytest.raises(NoSuchNodes, match="No node has joined yet"):
        await client.commands.create(CreateCommand(cmd="ping"))
    await joined(server)
    with pytest.raises(NoSuchNodes, match="role db"):
        await client.commands.create(CreateCommand(cmd="ping", selector=Selector(labels={"role": "db"})))
    with pytest.raises(TooLarge, match=str(COMMAND_LIMIT_BYTES)):
        await client.commands.create(CreateCommand(cmd="ping", data="x" * COMMAND_LIMIT_BYTES))
    await client.commands.create(CreateCommand(cmd="ping", id="c"))
    with pytest.raises(AlreadyExists, match="'c'"):
        await client.commands.create(CreateCommand(cmd="ping", id="c"))
    with pytest.raises(NotFound, match="no command 'd'"):
        await anext(client.commands.follow("d"))
    refused = {entry.result for entry in await client.audit.list() if entry.action == "createCommand"}
    assert refused == {"ok", "no_such_nodes", "too_large", "already_exists"}


async def test_a_body_that_is_no_command_is_refused(client: AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as http:
        for body in ({}, {"cmd": 1}, {"cmd": "ping", "what": 1}, {"cmd": "ping", "args": {"n": 10**30}}):
            answer = await http.post("/api/v1/commands", content=msgspec.json.encode(body))
            assert answer.status_code == 400, body
