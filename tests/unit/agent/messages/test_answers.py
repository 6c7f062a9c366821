"""Queries of the server for messages: each gets one answer, at once, when a message comes, or after its wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.messages.answers import GATHER_S, OPEN_LIMIT, Answers
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.agent.messages.store import MessageStore
from quarterdeck.columns.outlet import Outlet
from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import AskMessages, FromAgent, MessagesFound, StopAsking
from quarterdeck.model.errors import StorageFull, Unavailable
from quarterdeck.model.messages import LogLevels, MessagePage
from tests.support import until

KEPT = Routing.of(LogLevels(loglevels_ac=""))
LONG_S = 50.0


class Link:
    """The agent's end of a link: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[MessagesFound] = []
        self.broken = False

    async def send(self, message: FromAgent) -> None:
        if self.broken:
            raise Unavailable("The link is gone.")
        assert isinstance(message, MessagesFound)
        self.sent.append(message)

    def answer(self, number: int) -> MessagesFound:
        (found,) = (each for each in self.sent if each.number == number)
        return found

    def page(self, number: int) -> MessagePage:
        page = self.answer(number).page
        assert page is not None
        return page

    def texts(self, number: int) -> list[str]:
        return [message.data for message in self.page(number).messages]


class Node:
    def __init__(self, log: MessageLog, answers: Answers) -> None:
        self.log = log
        self.answers = answers
        self.link = Link()
        self.conversation: Conversation | None = None
        self._saying: set[asyncio.Task[None]] = set()

    async def printed(self, *texts: bytes, job: str = "job", level: int = 1) -> None:
        await self.log.put(Run(Source(job), 1000, [level] * len(texts), texts, [0] * len(texts)), KEPT)

    def say(self, message: AskMessages | StopAsking) -> None:
        """Deliver a message of the server over the current link."""
        assert self.conversation is not None
        saying = asyncio.create_task(self.conversation.received(message))
        self._saying.add(saying)
        saying.add_done_callback(self._saying.discard)

    def ask(self, number: int, wait_s: float = 0.0, **wanted: Any) -> None:
        self.say(AskMessages(number=number, filter=wanted, wait_s=wait_s))

    def follow(self, number: int, **wanted: Any) -> None:
        self.say(AskMessages(number=number, filter=wanted, follower=7))

    async def answered(self, *numbers: int) -> None:
        await until(lambda: {each.number for each in self.link.sent} >= set(numbers))

    @asynccontextmanager
    async def linked(self) -> AsyncIterator[None]:
        self.conversation = self.answers.open(cast("LiveLink", self.link))
        task = asyncio.create_task(self.conversation.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


MakeNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[MakeNode]:
    made: list[MessageLog] = []

    async def new(*allow: str, gather_s: float = GATHER_S) -> Node:
        log = MessageLog(tmp_path, outlet=Outlet(emit=lambda *_: None, lose=lambda _: None), retry_s=0.01)
        made.append(log)
        return Node(log, Answers(log, allow=allow or ("*",), gather_s=gather_s))

    yield new
    for log in made:
        await log.close()


@pytest.fixture
async def node(make: MakeNode) -> Node:
    return await make()


async def test_what_is_there_is_answered_at_once_even_when_the_question_may_wait(node: Node) -> None:
    await node.printed(b"one", b"two")
    async with node.linked():
        node.ask(1)
        node.ask(2, LONG_S, job_id="job")
        node.ask(3, LONG_S, newest_first=True, limit=1)
        await node.answered(1, 2, 3)
    assert [node.link.texts(number) for number in (1, 2, 3)] == [["one", "two"], ["one", "two"], ["two"]]


async def test_a_question_waits_for_a_message_that_matches_and_no_other(node: Node) -> None:
    async with node.linked():
        node.ask(1, LONG_S, job_id="mine", levels="7")
        await node.printed(b"other", job="other", level=7)
        await node.printed(b"quiet", job="mine", level=1)
        node.ask(2)  # behind both of these
        await node.answered(2)
        assert [each.number for each in node.link.sent] == [2]
        await node.printed(b"loud", job="mine", level=7)
        await node.answered(1)
    assert node.link.texts(1) == ["loud"]


async def test_messages_that_come_together_leave_together(make: MakeNode) -> None:
    node = await make(gather_s=1.0)
    async with node.linked():
        node.ask(1, LONG_S)
        node.ask(2)
        await node.answered(2)  # the first waits
        for text in (b"one", b"two", b"three"):
            await node.printed(text)
            await node.log.flush()
        await node.answered(1)
    assert node.link.texts(1) == ["one", "two", "three"]


async def test_pages_behind_one_another_miss_nothing_and_repeat_nothing(node: Node) -> None:
    found: list[str] = []
    async with node.linked():
        cursor, number = "", 0
        for printed in range(60):
            await node.printed(b"%d" % printed)
            if printed % 7 == 0:
                number += 1
                node.ask(number, LONG_S, cursor=cursor)
                await node.answered(number)
                found += node.link.texts(number)
                cursor = node.link.page(number).resume
        node.ask(100, cursor=cursor)
        await node.answered(100)
    assert found + node.link.texts(100) == [str(printed) for printed in range(60)]


async def test_when_the_wait_is_over_the_answer_is_empty_and_says_where_to_go_on(node: Node) -> None:
    await node.printed(b"old")
    async with node.linked():
        node.ask(1, job_id="job")
        await node.answered(1)
        node.ask(2, 0.01, job_id="job", cursor=node.link.page(1).resume)
        await node.answered(2)
        assert node.link.texts(2) == []
        await node.printed(b"new")
        node.ask(3, job_id="job", cursor=node.link.page(2).resume)
        await node.answered(3)
    assert node.link.texts(3) == ["new"]


async def test_many_questions_wait_at_one_time(node: Node) -> None:
    async with node.linked():
        for number in range(200):
            node.ask(number, LONG_S, job_id=f"job-{number % 100}")
        await asyncio.sleep(0)
        for number in range(100):
            await node.printed(b"%d" % number, job=f"job-{number}")
        await node.answered(*range(200))
    assert all(node.link.texts(number) == [str(number % 100)] for number in range(200))


async def test_more_questions_than_are_answered_at_one_time_are_refused(node: Node) -> None:
    async with node.linked():
        for number in range(OPEN_LIMIT + 1):
            node.ask(number, LONG_S)
        await node.answered(OPEN_LIMIT)
    assert [(each.number, each.code) for each in node.link.sent] == [(OPEN_LIMIT, "unavailable")]


async def test_a_question_that_nobody_waits_for_any_more_is_not_answered(node: Node) -> None:
    async with node.linked():
        node.ask(1, LONG_S)
        node.say(StopAsking(number=1))
        node.say(StopAsking(number=77))
        await node.printed(b"one")
        node.ask(2, LONG_S)
        await node.answered(2)
    assert [each.number for each in node.link.sent] == [2]


async def test_a_node_that_does_not_allow_it_says_so(make: MakeNode) -> None:
    node = await make("get_*_info", "execute")
    await node.printed(b"secret")
    async with node.linked():
        node.ask(1)
        await node.answered(1)
    found = node.link.answer(1)
    assert (found.page, found.code) == (None, "forbidden")
    assert "agent.jobs.allow" in found.problem


async def test_a_node_that_allows_it_by_a_pattern_answers(make: MakeNode) -> None:
    node = await make("get_*")
    await node.printed(b"one")
    async with node.linked():
        node.ask(1)
        await node.answered(1)
    assert node.link.texts(1) == ["one"]


@pytest.mark.parametrize(
    ("wanted", "words"), [({"mood": "good"}, "mood"), ({"levels": "x"}, "'x'"), ({"limit": "many"}, "limit")]
)
async def test_a_filter_that_it_does_not_understand_is_answered_in_words(
    node: Node, wanted: dict[str, Any], words: str
) -> None:
    async with node.linked():
        node.ask(1, **wanted)
        await node.answered(1)
    found = node.link.answer(1)
    assert found.code == "bad_input"
    assert words in found.problem


async def test_a_broken_link_ends_the_answers_alone(node: Node) -> None:
    await node.printed(b"one")
    async with node.linked():
        node.link.broken = True
        node.ask(1)
        node.ask(2, LONG_S, job_id="other")
        await asyncio.sleep(0)
    node.link.broken = False
    async with node.linked():
        node.ask(3)
        await node.answered(3)
        await node.printed(b"for the question of the old link", job="other")
        node.ask(4)
        await node.answered(4)
    assert [each.number for each in node.link.sent] == [3, 4]


async def test_what_waited_in_memory_for_the_disk_is_found_when_it_is_stored(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = MessageStore.append
    full = True

    def guarded(store: MessageStore, runs: Any, *others: Any) -> None:
        if full and runs:
            raise StorageFull
        append(store, runs, *others)

    monkeypatch.setattr(MessageStore, "append", guarded)
    keeping = asyncio.create_task(node.log.keep())
    async with node.linked():
        node.ask(1, LONG_S)
        await node.printed(b"one")
        await asyncio.sleep(0.1)
        assert not node.link.sent
        full = False
        await node.answered(1)
    keeping.cancel()
    assert node.link.texts(1) == ["one"]


async def flood(node: Node, job: str = "job") -> int:
    """Return how many messages this job could print before it had to wait."""
    count = 0

    async def print_on() -> None:
        nonlocal count
        while True:
            await node.printed(*[b"line"] * 100, job=job)
            count += 100
            await asyncio.sleep(0)

    keeping = asyncio.create_task(node.log.keep())
    printing = asyncio.create_task(print_on())
    before = -1
    while count != before and count < ENOUGH:
        before = count
        await asyncio.sleep(0.5)
    for task in (printing, keeping):
        task.cancel()
    await asyncio.gather(printing, keeping, return_exceptions=True)
    return count


#: messages of a job that is not slowed down; one that is may print about 2100 before its follower has a page
ENOUGH = 4000


async def test_a_job_waits_for_its_follower_and_goes_on_as_that_reads(node: Node) -> None:
    async with node.linked():
        node.follow(1, job_id="job")
        await node.answered(1)
        first = await flood(node)
        assert 2000 < first < ENOUGH
        node.follow(2, job_id="job", limit=1000, cursor="0")
        await node.answered(2)
        assert len(node.link.page(2).messages) == min(1000, first)
        assert await flood(node) > 0


async def test_nobody_else_waits_for_a_follower(node: Node) -> None:
    async with node.linked():
        for number, wanted in enumerate(({"job_id": "job"}, {"job_id": "service/web"}, {"levels": "1"}), 1):
            node.say(AskMessages(number=number, filter=wanted, follower=number))
        node.ask(4, job_id="free")
        await node.answered(1, 2, 3, 4)
        for other in ("free", "service/web", "another"):
            assert await flood(node, other) >= ENOUGH
        assert await flood(node) < ENOUGH


@pytest.mark.parametrize("why", ["it leaves", "the link ends", "the job is to end"])
async def test_a_job_does_not_wait_any_more_when(why: str, node: Node) -> None:
    async with node.linked():
        node.follow(1, job_id="job")
        await node.answered(1)
        assert await flood(node) < ENOUGH
        waiting = asyncio.create_task(node.printed(b"more"))
        if why == "it leaves":
            node.say(StopAsking(number=0, follower=7))
        elif why == "the job is to end":
            node.log.pacing.lift("job")
        if why != "the link ends":
            async with asyncio.timeout(LONG_S):
                await waiting
    async with asyncio.timeout(LONG_S):
        await waiting
    assert await flood(node) >= ENOUGH


async def test_two_followers_are_both_waited_for(node: Node) -> None:
    async with node.linked():
        node.follow(1, job_id="job")
        node.say(AskMessages(number=2, filter={"job_id": "job"}, follower=8))
        await node.answered(1, 2)
        assert await flood(node) < ENOUGH
        node.say(StopAsking(number=0, follower=7))
        waiting = asyncio.create_task(node.printed(b"more"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        node.say(StopAsking(number=0, follower=8))
        async with asyncio.timeout(LONG_S):
            await waiting


async def test_who_is_behind_is_taken_to_the_newest(node: Node) -> None:
    await node.printed(*(b"%d" % number for number in range(5000)))
    await node.printed(b"of another", job="other")
    async with node.linked():
        node.say(AskMessages(number=1, filter={"job_id": "job", "cursor": "10"}, skip=True))
        await node.answered(1)
    page = node.link.page(1)
    assert [page.messages[0].data, page.messages[-1].data] == ["4000", "4999"]
    assert page.left_out == 3990
