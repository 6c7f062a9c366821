"""Messages over HTTP: found, followed and resumed as server-sent events, cancelled cleanly; the agent is a test."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from quarterdeck.client import AsyncClient
from quarterdeck.client.streams.messages import MessageStream
from quarterdeck.link.messages import AskMessages, MessagesFound, StopAsking
from quarterdeck.model.errors import BadInput, NoSuchNodes
from quarterdeck.model.messages import FoundMessages, Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import Selector
from quarterdeck.server.server import Server
from tests.integration.server.agent import Agent, connected, joined


async def answer(agent: Agent, *texts: str, first: int = 1) -> AskMessages:
    """Answer the next question with these messages; return the question."""
    asked = await agent.expect(AskMessages)
    found = tuple(
        Message(id=place, job_id="j", epoch=1000 + place, level=1, data=text, place=place)
        for place, text in enumerate(texts, first)
    )
    page = MessagePage(messages=found, resume=str(first + len(texts) - 1))
    await agent.say(MessagesFound(number=asked.number, page=page))
    return asked


async def test_messages_are_found_with_filters(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    # what a reader of lines may take for the end of one
    text = "one\N{LINE SEPARATOR}two\x85three\r\nfour & five"
    wanted = MessageFilter(
        job_id="a/b?", domain="d", name="n", levels=(7, 9), text=text, time_from=5, time_to=10**13, limit=7
    )
    finding = asyncio.create_task(client.messages.list(wanted, Selector(nodes=("web-1", "1"), gid=1)))
    asked = await answer(agent, text)
    assert asked.filter == {
        "job_id": "a/b?",
        "domain": "d",
        "name": "n",
        "levels": "7,9",
        "text": text,
        "time_from": 5,
        "time_to": 10**13,
        "limit": 7,
    }
    found = await finding
    assert [(message.node, message.data) for message in found.messages] == [("web-1", text)]
    await agent.close()
    assert (await client.messages.list(MessageFilter())).problems


async def test_a_follower_gets_what_comes_and_goes_on_where_it_stopped(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    finding = asyncio.create_task(client.messages.list(MessageFilter(newest_first=True, limit=1)))
    assert (await answer(agent, "old", first=4)).filter == {"newest_first": True, "limit": 1}
    stream = client.messages.follow(MessageFilter(levels="1-9"), resume=(await finding).resume)
    following = asyncio.ensure_future(anext(stream))
    asked = await answer(agent, "a\nb", "c", first=5)
    assert asked.filter == {"levels": "1-9", "cursor": "4"}
    assert asked.wait_s > 0
    assert [message.data for message in (await following).messages] == ["a\nb", "c"]
    await stream.aclose()  # type: ignore[attr-defined]

    last = MessageStream(MessageFilter(), Selector())
    last.cursor = (await following).resume
    found = asyncio.create_task(first_of(client, last))
    assert (await _next_question(agent)).filter == {"cursor": "6"}
    found.cancel()
    await agent.close()


async def test_when_a_follower_goes_its_questions_are_taken_back(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    streams = [asyncio.create_task(first_of(client, MessageStream(MessageFilter(), Selector()))) for _ in "abc"]
    asked = {(await agent.expect(AskMessages)).number for _ in streams}
    for each in streams:
        each.cancel()
    taken_back = {(await agent.expect(StopAsking)).number for _ in streams}
    assert taken_back == asked
    await agent.close()


async def test_a_client_that_reads_no_more_ends_its_questions_too(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    stream = MessageStream(MessageFilter(), Selector())
    async with httpx.AsyncClient(base_url=client.endpoint.url) as http:
        async with http.stream(**stream.arguments(client.endpoint.token)) as response:
            await answer(agent, "a")
            lines = response.aiter_lines()
            while not stream.feed(await anext(lines)):
                pass
            asked = await agent.expect(AskMessages)
        assert (await agent.expect(StopAsking)).number == asked.number
    await agent.close()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"level": "loud"}, "neither a level"),
        ({"limit": "0"}, "1 to 1000"),
        ({"on": "role"}, "key=value"),
        ({"cursor": "zzz"}, "is not a cursor"),
        ({"node": "nope"}, "There is no node 'nope'"),
        ({"since": str(2**70)}, "is not a time"),
    ],
)
async def test_what_cannot_be_asked_is_said_in_words(
    server: Server, client: AsyncClient, query: dict[str, str], words: str
) -> None:
    await joined(server)
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as http:
        response = await http.get("/api/v1/messages", params=query)
    assert response.status_code == 400
    assert words in response.json()["detail"], response.text


async def test_following_nothing_is_refused(server: Server, client: AsyncClient) -> None:
    with pytest.raises(NoSuchNodes, match="no node to follow"):
        await anext(client.messages.follow(MessageFilter()))
    await joined(server)
    with pytest.raises(BadInput, match="is not a cursor"):
        await anext(client.messages.follow(MessageFilter(), resume="zzz"))


async def first_of(client: AsyncClient, stream: MessageStream) -> FoundMessages:
    """Return the first event of a stream."""
    async with (
        httpx.AsyncClient(base_url=client.endpoint.url, timeout=20) as http,
        http.stream(**stream.arguments(client.endpoint.token)) as response,
    ):
        async for line in response.aiter_lines():
            for found in stream.feed(line):
                return found
    raise AssertionError("the stream ended")


async def _next_question(agent: Agent) -> AskMessages:
    """Return the next question of another follower, after messages about the first."""
    while True:
        asked = await agent.expect(AskMessages | StopAsking)  # type: ignore[arg-type]
        if isinstance(asked, AskMessages) and "levels" not in asked.filter:
            return asked
