"""A command followed with what it prints: everything once, in order, before its result, also over reconnects."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import msgspec
import pytest

from quarterdeck.link.messages import JobResults, JobsStarted, JobsTaken
from quarterdeck.model.errors import BadInput, Forbidden, NotFound, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import CreateCommand, Job, JobResult, JobState
from quarterdeck.model.messages import Level, Mark, Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import AgentIdentity, NodeKey
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.jobs.output import PAGES, RETRIES, Output, OutputEvent
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)


class Nodes:
    """Nodes that have the messages that a test prints on them; answers as an agent's log does."""

    def __init__(self) -> None:
        self.lines: dict[NodeKey, list[str]] = defaultdict(list)
        self.away: dict[NodeKey, QuarterdeckError] = {}
        self.asked: list[tuple[NodeKey, MessageFilter, float]] = []
        self.waited_for: list[Paced] = []
        self._news = asyncio.Condition()

    async def print(self, key: NodeKey, *lines: str) -> None:
        async with self._news:
            self.lines[key] += lines
            self._news.notify_all()

    async def leave(self, key: NodeKey, error: QuarterdeckError) -> None:
        async with self._news:
            self.away[key] = error
            self._news.notify_all()

    def paced(self) -> Paced:
        return Paced(self)

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        self.asked.append((key, wanted, wait_s))
        after = int(wanted.cursor or 0)
        async with self._news:
            if wait_s:
                await self._news.wait_for(lambda: len(self.lines[key]) > after or key in self.away)
        if key in self.away:
            raise self.away[key]
        found = self.lines[key][after : after + wanted.limit]
        end = after + len(found)
        return MessagePage(
            messages=tuple(
                Message(id=at, job_id=wanted.job_id or "", epoch=0, level=1, data=line)
                for at, line in enumerate(found, after)
            ),
            cursor=str(end) if end < len(self.lines[key]) else None,
            resume=str(end),
        )


class Paced:
    """Reads for a follower that programs wait for."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        nodes.waited_for.append(self)

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        return await self._nodes.read(key, wanted, wait_s)

    def leave(self) -> None:
        self._nodes.waited_for.remove(self)


class Follower:
    """What a follower was told so far: lines and states, each with the name of its node."""

    def __init__(self, events: AsyncIterator[OutputEvent]) -> None:
        self.events = events
        self.seen: list[str] = []
        self.token = ""
        self.problems: list[str] = []
        self._open: list[NodeMessages | Job] = []

    async def until(self, what: str) -> None:
        async with asyncio.timeout(10):
            while what not in self.seen:
                await self._next()

    async def end(self) -> list[str]:
        async with asyncio.timeout(10):
            try:
                while True:
                    await self._next()
            except StopAsyncIteration:
                return self.seen

    async def _next(self) -> None:
        event, token = await anext(self.events)
        self.token = token or self.token
        if isinstance(event, Job):
            self.seen.append(f"{event.node_name} {event.state}")
            return
        self.problems += event.problems
        self.seen += [f"{event.node_name}: {message.data}" for message in event.messages]


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest.fixture
def outputs(fleet: Services, nodes: Nodes) -> Output:
    return Output(fleet.commands, nodes, retry_s=0.01)


async def ask(fleet: Services, *names: str, cmd: str = "execute") -> list[AgentIdentity]:
    agents = [await fleet.join(name) for name in names]
    for agent in agents:
        await fleet.connect(agent)
    await fleet.commands.create(CreateCommand(cmd=cmd, id="c"), OLGA)
    return agents


async def begin(fleet: Services, *agents: AgentIdentity) -> None:
    for agent in agents:
        await fleet.jobs.reported(agent, [JobsTaken(ids=("c",)), JobsStarted(ids=("c",))])


async def end(fleet: Services, agent: AgentIdentity, state: JobState = JobState.OK, **fields: object) -> None:
    result = JobResult(id="c", state=state, starttime=1)
    await fleet.jobs.reported(agent, [JobResults(results=(msgspec.structs.replace(result, **fields),))])


async def test_what_is_printed_is_told_at_once_and_all_of_it_before_the_result(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    follower = Follower(await outputs.follow("c"))
    await follower.until("one QUEUED")
    await begin(fleet, one)
    await follower.until("one RUNNING")
    await nodes.print(one.key, "a")
    await follower.until("one: a")
    nodes.lines[one.key] += ["b"] * 2500  # nobody is woken by these
    await end(fleet, one)
    seen = await follower.end()
    assert seen[-1] == "one OK"
    assert seen.count("one: b") == 2500
    assert [line for line in seen if " " not in line.replace(": ", ":")] == ["one: a", *["one: b"] * 2500]


async def test_many_nodes_are_followed_together_each_in_its_own_order(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    agents = await ask(fleet, "one", "two", "three")
    follower = Follower(await outputs.follow("c"))
    await begin(fleet, *agents)
    for number in range(20):
        for agent in agents:
            await nodes.print(agent.key, str(number))
    await follower.until("three: 19")
    await end(fleet, agents[1], JobState.ERROR)
    await follower.until("two ERROR")
    await nodes.print(agents[0].key, "last")
    await follower.until("one: last")
    await end(fleet, agents[0])
    await end(fleet, agents[2])
    seen = await follower.end()
    for name in ("one", "two", "three"):
        lines = [line.removeprefix(f"{name}: ") for line in seen if line.startswith(f"{name}: ")]
        assert lines[:20] == [str(number) for number in range(20)], name


async def test_what_prints_nothing_asks_nothing(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    one, two = await ask(fleet, "one", "two", cmd="ping")
    await begin(fleet, one)
    await end(fleet, one)
    await fleet.jobs.reported(two, [JobResults(results=(JobResult(id="c", state=JobState.REFUSED),))])
    assert set(await Follower(await outputs.follow("c")).end()) == {"one OK", "two REFUSED"}
    assert nodes.asked == []


async def test_what_never_began_asks_nothing(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    (one,) = await ask(fleet, "one")
    await fleet.jobs.reported(one, [JobResults(results=(JobResult(id="c", state=JobState.UNKNOWN_CMD),))])
    assert await Follower(await outputs.follow("c")).end() == ["one UNKNOWN_CMD"]
    assert nodes.asked == []


async def test_one_question_is_enough_for_a_job_that_is_over(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    (one,) = await ask(fleet, "one")
    await nodes.print(one.key, "a")
    await end(fleet, one)
    assert await Follower(await outputs.follow("c")).end() == ["one: a", "one OK"]
    assert [wait_s for _, _, wait_s in nodes.asked] == [0.0]


@pytest.mark.parametrize("after", range(14))
async def test_a_stream_goes_on_where_it_was_cut_without_gap_or_repeat(
    fleet: Services, nodes: Nodes, after: int
) -> None:
    """Cut behind every event there is; another server goes on."""
    one, two = await ask(fleet, "one", "two")

    async def happen() -> None:
        await begin(fleet, one)
        for number in range(3):
            await nodes.print(one.key, f"a{number}")
            await asyncio.sleep(0)
        await begin(fleet, two)
        await nodes.print(two.key, "b0", "b1")
        await end(fleet, one)
        await nodes.print(two.key, "b2")
        await end(fleet, two)

    happening = asyncio.create_task(happen())
    seen: list[str] = []
    token, count = "", 0
    async with asyncio.timeout(10):
        events = await Output(fleet.commands, nodes).follow("c")
        group: list[str] = []
        async for event, place in events:
            group += _words(event)
            if place:
                seen, token, group = seen + group, place, []
            count += 1
            if count >= after:
                break  # what was not complete is not kept
        await events.aclose()  # type: ignore[attr-defined]
        await happening
        follower = Follower(await Output(fleet.commands, nodes).follow("c", token))
        seen += await follower.end()
    told = [line for line in seen if ": " in line or line.endswith("OK")]
    assert [line for line in told if line.startswith("one")] == ["one: a0", "one: a1", "one: a2", "one OK"]
    assert [line for line in told if line.startswith("two")] == ["two: b0", "two: b1", "two: b2", "two OK"]


def _words(event: NodeMessages | Job) -> list[str]:
    if isinstance(event, Job):
        return [f"{event.node_name} {event.state}"]
    return [f"{event.node_name}: {message.data}" for message in event.messages]


async def test_behind_the_end_nothing_is_left_to_tell(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    (one,) = await ask(fleet, "one")
    await nodes.print(one.key, "a")
    await end(fleet, one)
    follower = Follower(await outputs.follow("c"))
    await follower.end()
    assert await Follower(await outputs.follow("c", follower.token)).end() == []


async def test_a_node_that_goes_away_is_said_so_and_taken_up_again(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    await begin(fleet, one)
    await nodes.print(one.key, "a")
    follower = Follower(await outputs.follow("c"))
    await follower.until("one: a")
    await nodes.leave(one.key, Unavailable("It went away."))
    while len(nodes.asked) < 6:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    nodes.away.clear()
    await nodes.print(one.key, "b")
    await follower.until("one: b")
    assert len(follower.problems) == 1
    assert "when it is back: It went away." in follower.problems[0]
    await end(fleet, one)
    assert (await follower.end())[-3:] == ["one: a", "one: b", "one OK"]


async def test_what_a_node_that_is_away_printed_is_told_from_its_result(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    nodes.away[one.key] = Unavailable("It is away.")
    await end(fleet, one, streams=("a\r\nb\n\nhalf", "oops\n"))
    found = [told.event async for told in await outputs.follow("c")]
    (page,) = [event for event in found if isinstance(event, NodeMessages)]
    assert [(message.level, message.data, message.marks) for message in page.messages] == [
        (Level.STDOUT, "a", Mark.CRLF),
        (Level.STDOUT, "b", 0),
        (Level.STDOUT, "", 0),
        (Level.STDOUT, "half", Mark.CONTINUES),
        (Level.STDERR, "oops", 0),
    ]
    assert page.problems == ("Its output cannot be read: It is away. These are the last lines of its result.",)
    assert isinstance(found[-1], Job)


async def test_of_a_node_that_left_before_its_rest_was_read_nothing_is_told_twice(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    await begin(fleet, one)
    await nodes.print(one.key, "a")
    follower = Follower(await outputs.follow("c"))
    await follower.until("one: a")
    await nodes.leave(one.key, Unavailable("It went away."))
    await end(fleet, one, streams=("a\nb\n", ""))
    assert (await follower.end())[-2:] == ["one: a", "one OK"]
    assert follower.problems[-1] == "Its output cannot be read: It went away."
    assert sum(wait_s == 0 for *_, wait_s in nodes.asked) == RETRIES + 1, "it might have come back"


async def test_a_node_that_does_not_let_the_server_read_says_so_once(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    nodes.away[one.key] = Forbidden("Not allowed.")
    await begin(fleet, one)
    follower = Follower(await outputs.follow("c"))
    await follower.until("one RUNNING")
    while not nodes.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await end(fleet, one, streams=("a\n", ""))
    assert (await follower.end())[-2:] == ["one: a", "one OK"]
    assert len(nodes.asked) <= 2, "once while it runs, once when it is over"
    assert "Not allowed." in follower.problems[0]


async def test_messages_that_are_no_longer_there_are_told_from_the_result(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    await end(fleet, one, streams=("a\n", ""))
    follower = Follower(await outputs.follow("c"))
    assert await follower.end() == ["one: a", "one OK"]
    assert follower.problems == ["The node has no messages of it. These are the last lines of its result."]


async def test_without_following_what_there_is_now_is_told(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    one, two, _ = await ask(fleet, "one", "two", "three")
    await begin(fleet, one, two)
    await nodes.print(one.key, "a")
    await nodes.print(two.key, *["b"] * 1500)
    await end(fleet, two)
    follower = Follower(await outputs.read("c"))
    seen = await follower.end()
    assert sorted(seen) == sorted(["one: a", *["two: b"] * 1500, "two OK", "three QUEUED"])
    assert follower.token == ""


async def test_questions_share_what_they_may_ask_for(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    agents = await ask(fleet, *(f"n{number}" for number in range(40)))
    await begin(fleet, *agents)
    follower = Follower(await outputs.follow("c"))
    await follower.until("n39 RUNNING")
    while len({asked for asked, *_ in nodes.asked}) < 40:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for agent in agents:
        await nodes.print(agent.key, *["x"] * 1000)
        await end(fleet, agent)
    seen = await follower.end()
    assert sum(line.endswith(": x") for line in seen) == 40_000
    assert min(wanted.limit for _, wanted, _ in nodes.asked) == 16_000 // 40


async def test_a_follower_that_leaves_leaves_no_question_open(fleet: Services, nodes: Nodes, outputs: Output) -> None:
    (one,) = await ask(fleet, "one")
    await begin(fleet, one)
    before = asyncio.all_tasks()
    events = await outputs.follow("c")
    follower = Follower(events)
    await follower.until("one RUNNING")
    await events.aclose()  # type: ignore[attr-defined]
    assert asyncio.all_tasks() == before


async def test_what_is_no_command_or_token_is_refused(fleet: Services, outputs: Output) -> None:
    with pytest.raises(NotFound):
        await outputs.follow("nothing")
    await ask(fleet, "one")
    with pytest.raises(BadInput, match="id of an event"):
        await outputs.follow("c", "what?")


async def test_programs_wait_for_a_paced_follower_until_it_leaves(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    await begin(fleet, one)
    await nodes.print(one.key, "a")
    unpaced = Follower(await outputs.follow("c"))
    await unpaced.until("one: a")
    assert not nodes.waited_for
    events = await outputs.follow("c", paced=True)
    paced = Follower(events)
    await paced.until("one: a")
    assert len(nodes.waited_for) == 1
    await cast("AsyncGenerator[OutputEvent]", events).aclose()
    assert not nodes.waited_for


async def test_a_node_is_asked_for_a_few_pages_more_than_are_read(
    fleet: Services, nodes: Nodes, outputs: Output
) -> None:
    (one,) = await ask(fleet, "one")
    await begin(fleet, one)
    nodes.lines[one.key] = ["line"] * 100_000
    follower = Follower(await outputs.follow("c"))
    await follower.until("one: line")
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(nodes.asked) <= PAGES + 3
    await end(fleet, one)
    assert (await follower.end()).count("one: line") == 100_000
