"""`/log/ID` over HTTP: the text of a command's or service's messages; the agent is a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from quarterdeck.client import AsyncClient
from quarterdeck.link.messages import AskMessages, MessagesFound
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.messages import Message, MessagePage
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import ApplyServices, Service
from quarterdeck.server.server import Server
from tests.integration.server.agent import Agent, connected


@pytest.fixture
async def reader(client: AsyncClient) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as opened:
        yield opened


async def answer(agent: Agent, *messages: tuple[int, str], cursor: str | None = None) -> str:
    """Answer the next question about messages; return the job id that it asked for."""
    while not isinstance(asked := await agent.receive(), AskMessages):
        pass
    first = int(asked.filter.get("cursor") or 0) + 1
    found = tuple(
        Message(id=place, job_id="j", epoch=1000 + place, level=level, data=text, place=place)
        for place, (level, text) in enumerate(messages, first)
    )
    page = MessagePage(messages=found, cursor=cursor, resume=str(first + len(found) - 1))
    await agent.say(MessagesFound(number=asked.number, page=page))
    return str(asked.filter["job_id"])


async def test_the_log_of_a_command_is_text_page_by_page(
    server: Server, client: AsyncClient, reader: httpx.AsyncClient
) -> None:
    agent = await connected(server)
    made = await client.commands.create(CreateCommand(id="4711", cmd="ping", selector=Selector(nodes=("web-1",))))
    reading = asyncio.create_task(reader.get(f"/log/{made.id}"))
    assert await answer(agent, (1, "first"), (7, "two\nlines"), cursor="2") == "4711"
    await answer(agent, (20, '{"a": 1}'))
    log = await reading
    assert log.status_code == 200
    assert log.headers["content-type"].startswith("text/plain")
    assert log.text == (
        "1970-01-01T00:00:01.001Z web-1 stdout first\n"
        "1970-01-01T00:00:01.002Z web-1 warning two\n"
        "1970-01-01T00:00:01.002Z web-1 warning lines\n"
        '1970-01-01T00:00:01.003Z web-1 result_json {"a": 1}\n'
    )
    await agent.close()


async def test_the_log_of_a_service_is_found_by_its_name(
    server: Server, client: AsyncClient, reader: httpx.AsyncClient
) -> None:
    agent = await connected(server)
    web = Service(name="web", command=("sleep", "9"), selector=Selector(nodes=("web-1",)))
    await client.services.apply(ApplyServices(services=(web,)))
    for name in ("web", "service%2Fweb"):
        reading = asyncio.create_task(reader.get(f"/log/{name}"))
        assert await answer(agent, (1, "hello")) == "service/web"
        assert (await reading).text.endswith(" web-1 stdout hello\n")
    await agent.close()
    log = await reader.get("/log/web")
    assert log.status_code == 200
    assert log.text.startswith("# ")
    assert "web-1" in log.text


@pytest.mark.parametrize("name", ["nothing", "service%2Fnothing"])
async def test_a_log_of_nothing_is_not_found(reader: httpx.AsyncClient, name: str) -> None:
    found = await reader.get(f"/log/{name}")
    assert (found.status_code, found.json()["code"]) == (404, "not_found")
    assert "'nothing'" in found.json()["detail"]
