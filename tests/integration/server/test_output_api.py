"""Output over HTTP and the real link: read from a node whose agent is a test, sent in order, resumed by the last id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from quarterdeck.client import AsyncClient, Endpoint
from quarterdeck.link.messages import AskMessages, JobOffers, JobResults, JobsStarted, MessagesFound, StopAsking
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.jobs import CreateCommand, Job, JobResult, JobState
from quarterdeck.model.messages import Message, MessagePage
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server
from tests.integration.server.agent import Agent, connected, joined
from tests.support import until

OK = JobResult(id="c", state=JobState.OK, starttime=1, streams=("a\nb\n", ""))


def page(*lines: str, after: int) -> MessagePage:
    messages = tuple(
        Message(id=at, job_id="c", epoch=0, level=1, data=line, place=at) for at, line in enumerate(lines, after + 1)
    )
    return MessagePage(messages=messages, resume=str(after + len(lines)))


async def asked(agent: Agent) -> AskMessages:
    """Return the next question, skipping cancelled ones."""
    while True:
        message = await agent.receive()
        if isinstance(message, AskMessages):
            return message
        assert isinstance(message, StopAsking)


async def running(server: Server, client: AsyncClient) -> Agent:
    """Connect a node that has reported that it runs the command c."""
    agent = await connected(server)
    await client.commands.create(CreateCommand(cmd="execute", id="c"))
    await agent.expect(JobOffers)
    await agent.say(JobsStarted(ids=("c",)))

    async def runs() -> bool:
        return (await client.commands.get("c")).jobs[0].state is JobState.RUNNING

    await until(runs)
    return agent


async def lines(client: AsyncClient, last_event: str, *, follow: str = "") -> AsyncIterator[tuple[str, str]]:
    """Yield the raw fields of the stream."""
    headers = {"Authorization": f"Bearer {client.endpoint.token}", "Last-Event-ID": last_event}
    async with (
        httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as http,
        http.stream("GET", "/api/v1/commands/c/output", params={"follow": follow} if follow else {}) as response,
    ):
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            yield name, value


async def test_what_a_node_prints_is_told_before_its_result(server: Server, client: AsyncClient) -> None:
    agent = await running(server, client)
    seen: list[Any] = []
    answering: asyncio.Task[None] | None = None
    async for event in client.commands.output("c"):
        seen.append(event)
        if isinstance(event, Job) and event.state is JobState.RUNNING:
            ask = await asked(agent)
            assert ask.filter["job_id"] == "c"
            assert ask.wait_s > 0
            await agent.say(MessagesFound(number=ask.number, page=page("a", after=0)))
        elif isinstance(event, NodeMessages) and len(seen) == 2:
            assert (await asked(agent)).filter["cursor"] == "1"
            await agent.say(JobResults(results=(OK,)))
            answering = asyncio.create_task(agent_answers_the_rest(agent))
    assert [event.state if isinstance(event, Job) else [m.data for m in event.messages] for event in seen] == [
        JobState.RUNNING, ["a"], ["b"], JobState.OK,
    ]  # fmt: skip
    assert answering is not None
    answering.cancel()
    await agent.close()


async def agent_answers_the_rest(agent: Agent) -> None:
    """Whoever asks for it: a reader that left may not have been noticed yet."""
    while True:
        message = await agent.receive()
        if isinstance(message, AskMessages) and message.wait_s == 0:
            assert message.filter["cursor"] == "1"
            await agent.say(MessagesFound(number=message.number, page=page("b", after=1)))


async def test_the_last_id_is_where_it_goes_on(server: Server, client: AsyncClient) -> None:
    agent = await running(server, client)
    last = ""
    async for name, value in lines(client, ""):
        if name == "event" and value == "job":
            await agent.say(MessagesFound(number=(await asked(agent)).number, page=page("a", after=0)))
        elif name == "id":
            last = value
            if "." in value:  # messages were told
                break
    await agent.say(JobResults(results=(OK,)))
    resumed = [each async for each in _answered(lines(client, last), agent)]
    assert [value for name, value in resumed if name == "event"] == ["messages", "job", "end"]
    told = [value for name, value in resumed if name == "data"]
    assert [message.data for message in msgspec.json.decode(told[0], type=NodeMessages).messages] == ["b"]
    await agent.close()


async def _answered(stream: AsyncIterator[tuple[str, str]], agent: Agent) -> AsyncIterator[tuple[str, str]]:
    """Yield the stream, while the agent answers the questions for it."""
    answering = asyncio.create_task(agent_answers_the_rest(agent))
    async for each in stream:
        yield each
    answering.cancel()


def _asking() -> int:
    """Return how many questions to nodes are open."""
    return sum("_see_through" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_reader_that_goes_away_leaves_no_question_open(server: Server, client: AsyncClient) -> None:
    agent = await running(server, client)
    async for _, value in lines(client, ""):
        if value == "job":
            await asked(agent)
            assert _asking() == 1
            break
    await until(lambda: not _asking())
    assert isinstance(await agent.receive(), StopAsking), "the node need not answer any more"
    await agent.close()


@pytest.mark.parametrize(
    ("role", "paced", "waits"),
    [(Role.OPERATOR, True, True), (Role.ADMIN, True, True), (Role.OPERATOR, False, False), (Role.VIEWER, True, False)],
)
async def test_programs_wait_for_operators_until_they_leave(
    server: Server, client: AsyncClient, role: Role, paced: bool, waits: bool
) -> None:
    agent = await running(server, client)
    made = await client.api_tokens.create("reader", role)
    url = client.endpoint.url
    async with AsyncClient(Endpoint(url=url, token=made.token)) as reader:
        stream = reader.commands.output("c", paced=paced)
        await anext(stream)
        question = await asked(agent)
        assert bool(question.follower) is waits
        await agent.say(MessagesFound(number=question.number, page=page("a", after=0)))
        while not isinstance(await anext(stream), NodeMessages):
            pass
        again = await asked(agent)
        assert again.follower == question.follower
        await stream.aclose()  # type: ignore[attr-defined]
    assert await agent.receive() == StopAsking(number=again.number)
    if waits:
        assert await agent.receive() == StopAsking(number=0, follower=question.follower)
    await agent.close()


async def test_output_of_now_ends_at_once(server: Server, client: AsyncClient) -> None:
    await joined(server)
    await client.commands.create(CreateCommand(cmd="execute", id="c"))
    found = [each async for each in lines(client, "", follow="false")]
    assert [value for name, value in found if name == "event"] == ["job", "end"]
    assert "id" not in {name for name, _ in found}


async def test_what_is_not_there_and_what_is_no_id_is_said_in_words(server: Server, client: AsyncClient) -> None:
    await joined(server)
    with pytest.raises(NotFound, match="no command 'd'"):
        await anext(client.commands.output("d"))
    await client.commands.create(CreateCommand(cmd="execute", id="c"))
    headers = {"Authorization": f"Bearer {client.endpoint.token}", "Last-Event-ID": "x" * 10}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as http:
        answer = await http.get("/api/v1/commands/c/output")
    assert (answer.status_code, answer.json()["code"]) == (400, BadInput.code)
