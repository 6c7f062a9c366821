"""Messages of nodes and of the table as one answer: same filters, no duplicates, and problems for offline nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.agent.messages.runs import Run, Source
from quarterdeck.agent.messages.store import MessageStore
from quarterdeck.model.errors import BadInput, Forbidden, NoSuchNodes, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.messages import FoundMessages, Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import AgentIdentity, NodeKey, Selector
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.messages import cursors
from quarterdeck.server.messages.links import MessageLinks
from quarterdeck.server.messages.messages import NAMED, Messages
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.messages import find_messages, place_of
from tests.forwarding import forwarded
from tests.services import FakeSessions, Services
from tests.state import sqlite_url

OPERATOR = ApiToken(id="t", name="anna", role=Role.OPERATOR)
EVERY = Selector()
#: rows that are too old for the table are not kept
BASE_MS = (int(time.time()) - 3600) * 1000


class Nodes(FakeSessions):
    """Live sessions with nodes that have real message stores."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.stores: dict[NodeKey, MessageStore] = {}
        self.trouble: dict[NodeKey, QuarterdeckError] = {}
        self.asked: list[NodeKey] = []

    def add(self, key: NodeKey) -> None:
        self.here.add(key)
        self.stores[key] = MessageStore(self._folder / f"{key.gid}-{key.nid}")

    async def ask(
        self, key: NodeKey, wanted: MessageFilter, wait_s: float, *, follower: int = 0, skip: bool = False
    ) -> MessagePage:
        self.asked.append(key)
        if key in self.trouble:
            raise self.trouble[key]
        assert wait_s == 0
        return self.stores[key].select(wanted, skip=skip)


class Fleet:
    """`make` makes the search of messages; a test may make another, with other limits."""

    def __init__(self, services: Services, nodes: Nodes, make: Callable[..., Messages], ingest: Ingest) -> None:
        self.services = services
        self.nodes = nodes
        self.make = make
        self.messages = make()
        self._ingest = ingest
        self._ids = 0
        self._seq = 0

    async def join(self, name: str, **labels: str) -> AgentIdentity:
        agent = await self.services.join(name, labels=labels)
        await self.services.connect(agent, labels=labels)
        self.nodes.add(agent.key)
        return agent

    async def printed(
        self,
        agent: AgentIdentity,
        *texts: str,
        at_ms: int,
        level: int = 1,
        job: str = "job",
        forward: bool = False,
        keep: bool = True,
    ) -> None:
        """Add messages of one time after `BASE_MS`, which the node stores (`keep`), has forwarded, or both."""
        ids = range(self._ids, self._ids + len(texts))
        self._ids += len(texts)
        texts_ = [text.encode() for text in texts]
        run = Run(Source(job, "shop", "web"), BASE_MS + at_ms, [level] * len(texts), texts_, [0] * len(texts), ids)
        if keep:
            self.nodes.stores[agent.key].append([run])
        if forward:
            self._seq += 1
            await self._ingest.accept(from_agent(agent, forwarded(run, seq=self._seq)))

    async def select(self, selector: Selector = EVERY, cursor: str = "", **wanted: Any) -> FoundMessages:
        return await self.messages.select(selector, MessageFilter(**wanted), cursor=cursor)

    async def texts(self, selector: Selector = EVERY, **wanted: Any) -> list[str]:
        return [message.data for message in (await self.select(selector, **wanted)).messages]

    async def all_texts(self, **wanted: Any) -> list[str]:
        """Return the messages of all pages."""
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self.select(cursor=cursor, **wanted)
            found += [message.data for message in page.messages]
            cursor = page.cursor
        return found


@pytest.fixture
async def fleet(embedded_store: TelemetryStore, ingest: Ingest, tmp_path: Path) -> AsyncGenerator[Fleet]:
    database = await Database.open(sqlite_url(tmp_path))
    services = Services(database, tmp_path)
    nodes = Nodes(tmp_path / "messages")
    (tmp_path / "messages").mkdir()
    links = Links()
    links.attach(nodes)
    make = partial(Messages, database, links=MessageLinks(links), store=embedded_store, clock=lambda: 5.0)
    yield Fleet(services, nodes, make, ingest)
    for store in nodes.stores.values():
        store.close()
    await database.close()


async def test_what_nodes_have_and_what_was_forwarded_comes_once_and_in_order(fleet: Fleet) -> None:
    one, two = await fleet.join("web-1"), await fleet.join("web-2")
    await fleet.printed(one, "a", at_ms=1000)
    await fleet.printed(two, "b", at_ms=2000, level=7, forward=True)
    await fleet.printed(one, "c", "d", at_ms=3000, level=9, forward=True)
    await fleet.printed(two, "e: only forwarded", at_ms=2500, level=8, forward=True, keep=False)
    page = await fleet.select()
    assert [(message.node, message.data) for message in page.messages] == [
        ("web-1", "a"),
        ("web-2", "b"),
        ("web-2", "e: only forwarded"),
        ("web-1", "c"),
        ("web-1", "d"),
    ]
    assert (page.cursor, page.problems) == (None, ())
    assert await fleet.texts(newest_first=True, limit=2) == ["d", "c"]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_miss_nothing_and_repeat_nothing(fleet: Fleet, limit: int, newest_first: bool) -> None:
    agents = [await fleet.join(f"web-{number}") for number in range(3)]
    expected: list[str] = []
    for moment in range(20):
        for number, agent in enumerate(agents):
            text = f"{moment:02} {number}"
            await fleet.printed(agent, text, at_ms=moment, forward=moment % 3 == 0, keep=moment % 4 > 0)
            if moment % 3 == 0 or moment % 4 > 0:
                expected.append(text)
    found = await fleet.all_texts(limit=limit, newest_first=newest_first)
    assert found == (expected[::-1] if newest_first else expected)


async def test_filters_mean_the_same_on_nodes_and_in_the_table(fleet: Fleet) -> None:
    agent = await fleet.join("web-1")
    for keep, number in ((True, 0), (False, 1)):
        await fleet.printed(agent, f"quiet {number}", at_ms=1000 + number, forward=True, keep=keep)
        await fleet.printed(
            agent, f"loud % {number}", at_ms=2000 + number, level=7, job="other", forward=True, keep=keep
        )
    assert await fleet.texts(job_id="job") == ["quiet 0", "quiet 1"]
    assert await fleet.texts(levels="7-9") == await fleet.texts(text=" % ") == ["loud % 0", "loud % 1"]
    assert await fleet.texts(time_from=BASE_MS + 2000) == await fleet.texts(job_id="other") == ["loud % 0", "loud % 1"]
    assert await fleet.texts(time_from=BASE_MS + 1001, time_to=BASE_MS + 2001) == ["quiet 1", "loud % 0"]
    assert await fleet.texts(domain="shop", name="web", text="quiet 1") == ["quiet 1"]
    assert await fleet.texts(domain="other") == await fleet.texts(levels="") == []
    assert await fleet.texts(job_id="'; DROP TABLE messages --\0") == []
    assert await fleet.texts(time_from=-(2**63), time_to=2**63 - 1) == await fleet.texts()


async def test_of_a_node_that_is_away_there_is_what_it_forwarded_and_a_word_about_it(fleet: Fleet) -> None:
    one, two = await fleet.join("web-1"), await fleet.join("web-2")
    for agent in (one, two):
        await fleet.printed(agent, f"kept of {agent.nid}", at_ms=1000)
        await fleet.printed(agent, f"forwarded of {agent.nid}", at_ms=2000, level=7, forward=True)
    fleet.nodes.here.discard(NodeKey(two.gid, two.nid))
    page = await fleet.select()
    assert [message.data for message in page.messages] == ["kept of 1", "forwarded of 1", "forwarded of 2"]
    assert page.problems == ("web-2 is offline; only what it forwarded is shown.",)


async def test_nodes_that_cannot_look_are_named_with_the_reason(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = [await fleet.join(f"web-{number}") for number in (1, 2, 3)]
    await fleet.printed(one, "here", at_ms=1)
    fleet.nodes.trouble[NodeKey(two.gid, two.nid)] = Forbidden("Its configuration has no get_msgs.")
    fleet.nodes.trouble[NodeKey(three.gid, three.nid)] = Unavailable("It went away.")
    four = await fleet.join("web-4")
    fleet.nodes.trouble[NodeKey(four.gid, four.nid)] = BadInput("This node knows no such filter.")
    page = await fleet.select()
    assert [message.data for message in page.messages] == ["here"]
    assert sorted(page.problems) == [
        "web-2: Its configuration has no get_msgs. Only what it forwarded is shown.",
        "web-3: It went away. Only what it forwarded is shown.",
        "web-4: It could not read its messages: This node knows no such filter. Only what it forwarded is shown.",
    ]
    fleet.messages = fleet.make(node_s=0.05)

    async def hangs(*_: object, **__: object) -> MessagePage:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(fleet.nodes, "ask", hangs)
    page = await fleet.select(Selector(nodes=("web-1",)))
    assert page.problems == ("web-1: It did not answer within 0.05 s. Only what it forwarded is shown.",)


async def test_many_nodes_that_are_away_are_counted(fleet: Fleet) -> None:
    for number in range(NAMED + 5):
        await fleet.join(f"web-{number:02}")
    fleet.nodes.here.clear()
    problems = (await fleet.select()).problems
    assert len(problems) == NAMED + 1
    assert problems[-1] == "5 more nodes are offline; only what they forwarded is shown."


async def test_only_the_nodes_that_are_meant_are_asked_and_shown(fleet: Fleet) -> None:
    one, two = await fleet.join("web-1", role="web"), await fleet.join("db-1", role="db")
    for agent in (one, two):
        await fleet.printed(agent, f"kept {agent.nid}", f"sent {agent.nid}", at_ms=1, forward=True)
    assert await fleet.texts(Selector(labels={"role": "db"})) == ["kept 2", "sent 2"]
    assert set(fleet.nodes.asked) == {NodeKey(two.gid, two.nid)}
    mistyped = Selector(nodes=("web-1", "nope"))
    with pytest.raises(NoSuchNodes, match="nope"):
        await fleet.select(Selector(nodes=("nope",)))
    for look in (fleet.select(mistyped), fleet.messages.follow(mistyped, MessageFilter())):
        with pytest.raises(NoSuchNodes, match="'nope'"):
            await look


async def test_a_node_that_is_removed_between_two_pages_does_not_end_the_look(fleet: Fleet) -> None:
    both = Selector(nodes=("web-1", "web-2"))
    for name in ("web-1", "web-2"):
        await fleet.printed(await fleet.join(name), f"{name} a", f"{name} b", at_ms=1)
    page = await fleet.select(both, limit=1)
    await fleet.services.nodes.remove("web-2")
    assert page.cursor
    texts = [message.data for message in (await fleet.select(both, cursor=page.cursor)).messages]
    assert "web-1 b" in texts


async def test_of_a_command_only_the_nodes_of_its_jobs_are_asked(fleet: Fleet) -> None:
    one, two = await fleet.join("web-1"), await fleet.join("web-2")
    request = CreateCommand(id="job", cmd="execute", selector=Selector(nodes=("web-2",)))
    await fleet.services.commands.create(request, OPERATOR)
    fleet.nodes.here.discard(NodeKey(one.gid, one.nid))
    await fleet.printed(two, "a", at_ms=1)
    page = await fleet.select(job_id="job")
    assert ([message.data for message in page.messages], page.problems) == (["a"], ())
    assert set(fleet.nodes.asked) == {NodeKey(two.gid, two.nid)}


async def test_what_a_removed_node_forwarded_is_still_found(fleet: Fleet) -> None:
    agent = await fleet.join("web-1")
    await fleet.printed(agent, "its last words", at_ms=1, forward=True)
    await fleet.services.nodes.remove("web-1")
    fleet.nodes.here.clear()
    page = await fleet.select()
    assert [(message.node, message.data) for message in page.messages] == [("1/1", "its last words")]


async def test_an_answer_says_where_to_follow_on(fleet: Fleet) -> None:
    one, two = await fleet.join("web-1"), await fleet.join("web-2")
    await fleet.printed(one, "a", at_ms=1)
    fleet.nodes.here.discard(NodeKey(two.gid, two.nid))
    for newest_first in (False, True):
        reached = cursors.read((await fleet.select(newest_first=newest_first)).resume)
        assert reached.cursors == {NodeKey(one.gid, one.nid): "1"}
        assert reached.since_ms == 5000  # for the other


async def test_a_cursor_is_of_one_direction_and_of_nothing_else(fleet: Fleet) -> None:
    agent = await fleet.join("web-1")
    await fleet.printed(agent, "a", "b", at_ms=1)
    cursor = (await fleet.select(limit=1)).cursor
    assert cursor
    with pytest.raises(BadInput, match="other direction"):
        await fleet.select(cursor=cursor, newest_first=True)
    with pytest.raises(BadInput, match="is not a cursor"):
        await fleet.select(cursor="x" + cursor)


async def test_an_empty_fleet_has_no_messages_and_nothing_to_follow(fleet: Fleet) -> None:
    assert (await fleet.select()).messages == ()
    with pytest.raises(NoSuchNodes):
        await fleet.messages.follow(EVERY, MessageFilter())


async def test_more_nodes_than_can_be_followed_are_refused(fleet: Fleet) -> None:
    fleet.messages = fleet.make(follow_nodes=1)
    await fleet.join("web-1")
    await fleet.join("web-2")
    with pytest.raises(BadInput, match="At most 1 nodes"):
        await fleet.messages.follow(EVERY, MessageFilter())


async def test_rows_are_read_page_by_page(fleet: Fleet, embedded_store: TelemetryStore) -> None:
    agent = await fleet.join("web-1")
    await fleet.printed(agent, *(str(number) for number in range(10)), at_ms=7, forward=True, keep=False)
    for newest_first in (False, True):
        found: list[Message] = []
        after = None
        while page := find_messages(
            embedded_store, MessageFilter(newest_first=newest_first), nodes=[(1, 1)], after=after, limit=3
        ):
            found += page
            after = place_of(page[-1])
        expected = [str(number) for number in range(10)]
        assert [message.data for message in found] == (expected[::-1] if newest_first else expected)
    assert not find_messages(embedded_store, MessageFilter(), nodes=[(2, 1)], after=None, limit=3)
    assert not find_messages(embedded_store, MessageFilter(), nodes=[], after=None, limit=3)
    assert msgspec.structs.asdict(found[0]) | {"data": ""} == {
        "id": 9,
        "job_id": "job",
        "domain": "shop",
        "name": "web",
        "epoch": BASE_MS + 7,
        "level": 1,
        "data": "",
        "marks": 0,
        "raw": b"",
        "place": 0,
        "gid": 1,
        "nid": 1,
        "node": "",
    }
