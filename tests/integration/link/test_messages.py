"""Questions for messages over the real wires: answered, cancelled, refused, and ended with the link."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quarterdeck.agent.connection import Connection
from quarterdeck.agent.messages.answers import Answers
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.columns.outlet import Outlet
from quarterdeck.link.messages import (
    PROTOCOL_VERSION,
    AskMessages,
    Desired,
    FromAgent,
    Hello,
    MessagesFound,
    StopAsking,
    ToAgent,
    Welcome,
)
from quarterdeck.link.wire import AgentLink, Stream
from quarterdeck.link.wires import agent_wire
from quarterdeck.model.errors import BadFrame, BadInput, Forbidden, QuarterdeckError, Unavailable
from quarterdeck.model.messages import LogLevels, Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import Facts, NodeKey
from quarterdeck.testing.link import LinkServer
from quarterdeck.testing.topics import ignoring_others
from tests.support import until

HELLO = Hello(protocol=PROTOCOL_VERSION, facts=Facts(hostname="web-1"))
KEPT = Routing.of(LogLevels(loglevels_ac=""))
LONG_S = 50.0
Control = Stream[ToAgent, FromAgent]


class Agent:
    """A real agent's way from its log to the link."""

    def __init__(self, server: LinkServer, log: MessageLog, answers: Answers) -> None:
        self.log = log
        credentials = server.credentials()
        self.connection = Connection(
            agent_wire(server.address),
            credentials=lambda: credentials,
            hello=lambda: HELLO,
            topics=ignoring_others(answers),
        )

    async def printed(self, *texts: bytes, job: str = "job") -> None:
        await self.log.put(Run(Source(job), 1000, [1] * len(texts), texts, [0] * len(texts)), KEPT)


@asynccontextmanager
async def running(server: LinkServer, folder: Path, *allow: str) -> AsyncIterator[Agent]:
    log = MessageLog(folder / "messages", outlet=Outlet(emit=lambda *_: None, lose=lambda _: None))
    agent = Agent(server, log, Answers(log, allow=allow or ("*",)))
    task = asyncio.create_task(agent.connection.run())
    await until(lambda: server.sessions.connected(NodeKey(1, 1)))
    yield agent
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await log.close()


@asynccontextmanager
async def by_hand(server: LinkServer) -> AsyncIterator[tuple[AgentLink, Control]]:
    """An agent that answers only when the test does."""
    link = server.link(server.credentials())
    control = link.control()
    await control.send(HELLO)
    assert isinstance(await control.receive(), Welcome)
    assert isinstance(await control.receive(), Desired)
    yield link, control
    await link.close()


def ask(server: LinkServer, wait_s: float = 0.0, **wanted: object) -> asyncio.Task[MessagePage]:
    filled = MessageFilter(**wanted)  # type: ignore[arg-type]
    return asyncio.create_task(server.fleet.message_links.ask(NodeKey(1, 1), filled, wait_s))


async def received(control: Control) -> AskMessages | StopAsking:
    message = await control.receive()
    assert isinstance(message, AskMessages | StopAsking)
    return message


async def test_an_agent_answers_with_what_it_has_and_with_what_comes(server: LinkServer, tmp_path: Path) -> None:
    async with running(server, tmp_path) as agent:
        await agent.printed(b"one", b"tw\xff")
        page = await ask(server)
        assert [(message.data, message.raw) for message in page.messages] == [("one", b""), ("tw\ufffd", b"tw\xff")]
        waiting = [ask(server, LONG_S, cursor=page.resume, job_id="job") for _ in range(20)]
        others = [ask(server, LONG_S, cursor=page.resume, job_id="other") for _ in range(20)]
        await agent.printed(b"three")
        for each in waiting:
            assert [message.data for message in (await each).messages] == ["three"]
        await agent.printed(b"four", job="other")
        for each in others:
            assert [message.data for message in (await each).messages] == ["four"]


@pytest.mark.parametrize(
    "page",
    [
        MessagePage(messages=(), resume=""),
        MessagePage(messages=(), resume="soon"),
        MessagePage(messages=(), resume="9" * 40),
        MessagePage(messages=(), resume="1", cursor="-1"),
        MessagePage(messages=(Message(id=1, job_id="job", epoch=1, level=1, data="", place=1 << 62),), resume="1"),
        MessagePage(messages=(Message(id=1, job_id="job", epoch=1 << 62, level=1, data=""),), resume="1"),
        MessagePage(messages=(Message(id=1, job_id="job", epoch=1, level=1, data=""),) * 1001, resume="1"),
    ],
)
async def test_an_answer_that_would_spoil_the_answers_of_others_is_none(server: LinkServer, page: MessagePage) -> None:
    async with by_hand(server) as (_, control):
        asked = ask(server)
        await control.send(MessagesFound(number=(await received(control)).number, page=page))
        with pytest.raises(BadFrame, match="not a page of messages"):
            await asked


async def test_large_pages_pass(server: LinkServer, tmp_path: Path) -> None:
    async with running(server, tmp_path) as agent:
        await agent.printed(*([b"\xff" * 256 * 1024] * 6))
        found, cursor = 0, ""
        while True:
            page = await ask(server, cursor=cursor)
            found += len(page.messages)
            if page.cursor is None:
                break
            cursor = page.cursor
        assert found == 6


async def test_the_nodes_own_allow_list_holds(server: LinkServer, tmp_path: Path) -> None:
    async with running(server, tmp_path, "execute"):
        with pytest.raises(Forbidden, match="has no get_msgs"):
            await ask(server)


async def test_a_node_that_is_not_here_cannot_be_asked(server: LinkServer) -> None:
    with pytest.raises(Unavailable, match="1/1 is not connected"):
        await ask(server)


async def test_a_question_ends_with_the_link(server: LinkServer) -> None:
    async with by_hand(server) as (link, control):
        waiting = [ask(server, LONG_S) for _ in range(5)]
        for _ in waiting:
            await received(control)
        await link.close()
        for each in waiting:
            with pytest.raises(Unavailable):
                await each


async def test_a_question_ends_when_the_server_stops(server: LinkServer) -> None:
    async with by_hand(server) as (_, control):
        waiting = ask(server, LONG_S)
        await received(control)
        await server.stop()
        with pytest.raises(Unavailable):
            await waiting


async def test_a_question_that_is_given_up_is_taken_back(server: LinkServer) -> None:
    async with by_hand(server) as (_, control):
        waiting = ask(server, LONG_S)
        asked = await received(control)
        waiting.cancel()
        assert await received(control) == StopAsking(number=asked.number)
        await control.send(MessagesFound(number=asked.number, page=MessagePage(messages=(), resume="0")))  # too late
        again = ask(server)
        await control.send(
            MessagesFound(number=(await received(control)).number, page=MessagePage(messages=(), resume="0"))
        )
        assert (await again).messages == ()


@pytest.mark.parametrize(
    ("code", "kind"), [("bad_input", BadInput), ("forbidden", Forbidden), ("of_the_future", QuarterdeckError)]
)
async def test_what_the_agent_says_is_wrong_is_raised(
    server: LinkServer, code: str, kind: type[QuarterdeckError]
) -> None:
    async with by_hand(server) as (_, control):
        waiting = ask(server)
        await control.send(MessagesFound(number=(await received(control)).number, code=code, problem="No."))
        with pytest.raises(kind, match="No") as caught:
            await waiting
        assert type(caught.value) is kind


async def test_answers_may_come_in_any_order(server: LinkServer) -> None:
    async with by_hand(server) as (_, control):
        asked: dict[str, int] = {}
        waiting = {job: ask(server, LONG_S, job_id=job) for job in ("a", "b", "c")}
        while len(asked) < 3:
            message = await received(control)
            assert isinstance(message, AskMessages)
            assert set(message.filter) == {"job_id"}  # what is not used is not sent: an older agent need not know it
            asked[message.filter["job_id"]] = message.number
        for job in ("c", "a", "b"):
            found = Message(id=1, job_id=job, epoch=1, level=1, data=job)
            await control.send(MessagesFound(number=asked[job], page=MessagePage(messages=(found,), resume="1")))
        for job, each in waiting.items():
            assert [message.data for message in (await each).messages] == [job]


async def test_questions_that_are_given_up_while_they_are_answered_leave_the_link(
    server: LinkServer, tmp_path: Path
) -> None:
    chance = random.Random(7)
    async with running(server, tmp_path) as agent:
        await agent.printed(*([b"x" * 200_000] * 20))
        for _ in range(30):
            asked = [ask(server) for _ in range(8)]
            await asyncio.sleep(chance.random() * 0.05)
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        assert (await ask(server)).messages
        assert server.fleet.departures == []
