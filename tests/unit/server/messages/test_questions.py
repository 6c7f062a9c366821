"""Questions over a link that stalls: what is given up leaves nothing behind. Real wires are in `tests/integration`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from quarterdeck.link.messages import AskMessages, MessagesFound, StopAsking, ToAgent
from quarterdeck.model.errors import TimedOut
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.server.messages.questions import Questions
from tests.support import until

PAGE = MessagePage(messages=(), resume="7")
LONG_S = 50.0


class Link:
    """Takes one message, and the next only when it is let."""

    def __init__(self) -> None:
        self.sent: list[ToAgent] = []
        self.flows = asyncio.Event()

    async def send(self, message: ToAgent) -> None:
        self.sent.append(message)
        await self.flows.wait()


@asynccontextmanager
async def running(link: Link, *, answer_s: float = LONG_S) -> AsyncGenerator[Questions]:
    questions = Questions(link, answer_s=answer_s)
    sending = asyncio.create_task(questions.run())
    try:
        yield questions
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def ask(questions: Questions, name: str) -> asyncio.Task[MessagePage]:
    return asyncio.create_task(questions.ask(MessageFilter(name=name), LONG_S))


async def give_up(*asking: asyncio.Task[MessagePage]) -> None:
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_questions_given_up_before_the_link_takes_them_are_never_sent() -> None:
    link = Link()
    async with running(link) as questions:
        first = ask(questions, "first")
        await until(lambda: link.sent)
        others = [ask(questions, f"other {number}") for number in range(100)]
        await asyncio.sleep(0)  # each is asked now, and waits for the link
        await give_up(first, *others)
        last = ask(questions, "last")
        link.flows.set()
        await until(lambda: len(link.sent) == 3)
        asked, stopped, again = link.sent
        assert isinstance(asked, AskMessages)
        assert stopped == StopAsking(number=asked.number)
        assert isinstance(again, AskMessages)
        assert (asked.filter, again.filter) == ({"name": "first"}, {"name": "last"})
        await questions.received(MessagesFound(number=again.number, page=PAGE))
        assert await last == PAGE
        assert len(link.sent) == 3


async def test_an_agent_that_does_not_answer_is_not_waited_for() -> None:
    link = Link()
    link.flows.set()
    async with running(link, answer_s=0.05) as questions:
        with pytest.raises(TimedOut, match="busy or stuck"):
            await questions.ask(MessageFilter(), 0.01)
        await until(lambda: len(link.sent) == 2)
        asked, stopped = link.sent
        assert isinstance(asked, AskMessages)
        assert stopped == StopAsking(number=asked.number)


async def test_a_follower_that_leaves_is_named_to_the_agent() -> None:
    link = Link()
    link.flows.set()
    async with running(link) as questions:
        asking = asyncio.create_task(questions.ask(MessageFilter(job_id="j"), LONG_S, follower=7))
        await until(lambda: link.sent)
        await give_up(asking)
        questions.leave(7)
        questions.leave(8)
        await until(lambda: len(link.sent) == 4)
        asked, *others = link.sent
        assert isinstance(asked, AskMessages)
        assert asked.follower == 7
        assert others == [StopAsking(number=asked.number), *(StopAsking(number=0, follower=each) for each in (7, 8))]
    questions.leave(9)
    await asyncio.sleep(0)
    assert len(link.sent) == 4


@pytest.mark.parametrize("count", [1, 5])
async def test_what_the_link_takes_again_is_sent_in_order(count: int) -> None:
    link = Link()
    async with running(link) as questions:
        asking = [ask(questions, str(number)) for number in range(count)]
        link.flows.set()
        await until(lambda: len(link.sent) == count)
        names = [message.filter["name"] for message in link.sent if isinstance(message, AskMessages)]
        assert names == [str(number) for number in range(count)]
        await give_up(*asking)
        await until(lambda: len(link.sent) == 2 * count)
        assert all(isinstance(message, StopAsking) for message in link.sent[count:])
