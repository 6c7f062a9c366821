"""Messages of the fleet: what processes printed, as the nodes have it, together with what they forwarded.

A node is asked over its live session; of one that is away there is only the table `messages`. Owns which nodes are
asked and the words about those that do not answer; nothing of what they say is kept here. Following is in
`following.py`, the order of many nodes in `merging.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from quarterdeck.model.errors import BadInput, NoSuchNodes, QuarterdeckError, TimedOut
from quarterdeck.model.jobs import is_id
from quarterdeck.model.messages import FoundMessages, MessageFilter, MessagePage, NodeMessage
from quarterdeck.model.nodes import Node, NodeKey, Selector
from quarterdeck.server.messages import cursors as tokens
from quarterdeck.server.messages.cursors import Reached
from quarterdeck.server.messages.following import Followed, Start, follow, of_node, trouble
from quarterdeck.server.messages.merging import Source, merge
from quarterdeck.server.selection import no_match
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state import jobs, nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.messages import RowPlace, find_messages, place_of

#: nodes that are asked at one time, for all who look
CONCURRENT = 64
#: how long one node may take to answer somebody who looks at many
NODE_S = 10.0
#: how long all of them may take
NODES_S = 30.0
#: nodes that one follower follows
FOLLOW_NODES = 500
#: nodes that are named one by one when they cannot be asked
NAMED = 10
_LATEST_MS = 1 << 53
_LAST = (1 << 32) - 1


class Messages:
    """Finds messages. `clock`: seconds since the epoch."""

    def __init__(
        self, database: Database, *, links: Links, store: TelemetryStore, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._links = links
        self._store = store
        self._clock = clock
        self._turns = asyncio.Semaphore(CONCURRENT)

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        """The next page of what the node itself has; with `wait_s` as soon as there is a message behind the cursor.

        `Unavailable` when the node is not connected or goes away, `TimedOut`, `Forbidden` by its allow-list.
        """
        return await self._links.ask_messages(key, wanted, wait_s)

    async def select(self, selector: Selector, wanted: MessageFilter, *, cursor: str = "") -> FoundMessages:
        """The next page of what nodes have and what they forwarded; `cursor` is that of the page before.

        `NoSuchNodes`, `BadInput`, and what the table's store raises. A node that does not answer is a problem in words.
        """
        before = tokens.read(cursor) if cursor else None
        if before is not None and before.newest_first != wanted.newest_first:
            raise BadInput("This cursor is of the other direction.", hint="Ask for its page as for the one before.")
        chosen = await self._choose(selector, wanted)
        asked = _NodeQuestion(self, wanted, self._links.here(chosen.keys))
        reached = before.cursors if before is not None else {}
        on_nodes = [
            _OnNode(asked, key, name, reached.get(key, ""))
            for key, name in chosen.names.items()
            if before is None or key in reached
        ]
        table = _Forwarded(self._store, wanted, chosen)
        if before is not None:
            table.go_on(before.table)
        messages, more = await merge([*on_nodes, table], limit=wanted.limit, newest_first=wanted.newest_first)
        since_ms = int(self._clock() * 1000) if before is None else before.since_ms
        return FoundMessages(
            messages=tuple(messages),
            cursor=_cursor(on_nodes, table, newest_first=wanted.newest_first, since_ms=since_ms) if more else None,
            resume=_resume(on_nodes, since_ms) if before is None or not wanted.newest_first else "",
            problems=tuple(asked.problems()),
        )

    async def follow(self, selector: Selector, wanted: MessageFilter, token: str = "") -> AsyncIterator[Followed]:
        """What is printed from now on, or behind a `resume` of `select` or of this; from each node as it comes.

        `NoSuchNodes`, `BadInput`.
        """
        before = tokens.read(token) if token else None
        chosen = await self._choose(selector, wanted)
        if not chosen.names:
            raise NoSuchNodes(
                "There is no node to follow.", hint="See `qd node ls`, and `qd job show` for a job's nodes."
            )
        if len(chosen.names) > FOLLOW_NODES:
            raise BadInput(
                f"At most {FOLLOW_NODES} nodes can be followed; these are {len(chosen.names)}.",
                hint="Name fewer: by job, label or node.",
            )
        since_ms = int(self._clock() * 1000) if before is None else before.since_ms
        cursors = {} if before is None else before.cursors
        start = Start(wanted=wanted, since_ms=since_ms, names=chosen.names, cursors=cursors)

        async def look() -> Mapping[NodeKey, str]:
            names = (await self._choose(selector, wanted)).names
            return names if len(names) <= FOLLOW_NODES else {}

        return follow(self, self._links, start, look)

    async def ask(self, key: NodeKey, wanted: MessageFilter, *, deadline: float) -> MessagePage:
        """As `read` does, in its turn among all who look at many nodes, within a short time and before `deadline`."""
        try:
            async with asyncio.timeout_at(deadline), self._turns, asyncio.timeout(NODE_S):
                return await self.read(key, wanted)
        except TimeoutError as error:
            raise TimedOut(f"It did not answer within {NODE_S:g} s.") from error

    async def _choose(self, selector: Selector, wanted: MessageFilter) -> _Chosen:
        """The nodes that are meant; where a command is named, those of its jobs."""
        async with self._database.read() as transaction:
            every = await nodes.find_all(transaction)
            id_ = wanted.job_id or ""
            command = await jobs.find_command(transaction, id_) if is_id(id_) else None
            ran = None if command is None else await jobs.find(transaction, number=command.number)
        fits = [node for node in every if _fits(selector, node)]
        if not fits and selector != Selector():
            raise no_match(selector, joined=len(every))
        names = {node.key: node.name for node in fits}
        if ran is not None:
            there = {shown.job.key for shown in ran}
            names = {key: name for key, name in names.items() if key in there}
        return _Chosen(names, known={n.key: n.name for n in every}, everywhere=selector == Selector())


class _Chosen:
    """Nodes that are meant, with their names. `everywhere`: whatever node a message is from, as long as it matches."""

    def __init__(self, names: Mapping[NodeKey, str], *, known: Mapping[NodeKey, str], everywhere: bool) -> None:
        self.names = names
        self.keys = tuple(names)
        self.known = known
        self.everywhere = everywhere


class _NodeQuestion:
    """One look at many nodes: what is wanted, who is here, and why some do not answer."""

    def __init__(self, messages: Messages, wanted: MessageFilter, here: set[NodeKey]) -> None:
        self.wanted = wanted
        self._messages = messages
        self._here = here
        self._deadline = asyncio.get_running_loop().time() + NODES_S
        self._away: list[str] = []
        self._said: dict[str, None] = {}

    async def ask(self, key: NodeKey, name: str, *, cursor: str, limit: int) -> MessagePage | None:
        """The node's next page; None, and a problem, when there is none to be had."""
        if key not in self._here:
            self._away.append(name)
            return None
        try:
            wanted = msgspec.structs.replace(self.wanted, cursor=cursor, limit=min(limit, self.wanted.limit))
            page = await self._messages.ask(key, wanted, deadline=self._deadline)
        except QuarterdeckError as error:
            self._said[f"{name}: {trouble(error)} Only what it forwarded is shown."] = None
            return None
        self._said |= dict.fromkeys(f"{name}: {problem}" for problem in page.problems)
        return page

    def problems(self) -> list[str]:
        """Why messages may be missing."""
        away = sorted(self._away)
        named = [f"{name} is offline; only what it forwarded is shown." for name in away[:NAMED]]
        if len(away) > NAMED:
            named.append(f"{len(away) - NAMED} more nodes are offline; only what they forwarded is shown.")
        return [*named, *self._said]


class _OnNode(Source):
    """The messages that one node has."""

    def __init__(self, question: _NodeQuestion, key: NodeKey, name: str, cursor: str) -> None:
        super().__init__()
        self.key = key
        self.reached = cursor  #: behind what was taken
        self.resume = "" if question.wanted.newest_first else cursor  #: for what is printed later
        self._question = question
        self._name = name
        self._next = cursor

    async def read(self, limit: int) -> tuple[Sequence[NodeMessage], bool]:
        page = await self._question.ask(self.key, self._name, cursor=self._next, limit=limit)
        if page is None:
            return (), False
        if self._question.wanted.newest_first:
            self.resume = self.resume or page.resume
            self.reached = self.reached or str(int(page.resume) + 1)
        else:
            self.reached = page.resume if not page.messages else self.reached or "0"
            self.resume = self.reached
        self._next = page.cursor or ""
        return [of_node(message, self.key, self._name) for message in page.messages], page.cursor is not None

    def taken(self, message: NodeMessage) -> None:
        self.reached = str(message.place)
        if not self._question.wanted.newest_first:
            self.resume = self.reached


class _Forwarded(Source):
    """The messages in the table."""

    def __init__(self, store: TelemetryStore, wanted: MessageFilter, chosen: _Chosen) -> None:
        super().__init__()
        edge = RowPlace(_LATEST_MS, _LAST, _LAST, _LAST) if wanted.newest_first else RowPlace(-_LATEST_MS, 0, 0, 0)
        self.reached = self._next = edge
        self._store = store
        self._wanted = wanted
        self._chosen = chosen

    def go_on(self, after: RowPlace | None) -> None:
        """From here; None: there is nothing more."""
        if after is None:
            self._more = False
        else:
            self.reached = self._next = after

    async def read(self, limit: int) -> tuple[Sequence[NodeMessage], bool]:
        found = await asyncio.to_thread(
            find_messages,
            self._store,
            self._wanted,
            nodes=None if self._chosen.everywhere else self._chosen.keys,
            after=self._next,
            limit=limit,
        )
        if found:
            self._next = place_of(found[-1])
        known = self._chosen.known
        keys = (NodeKey(row.gid, row.nid) for row in found)
        named = [
            msgspec.structs.replace(row, node=known.get(key, str(key))) for row, key in zip(found, keys, strict=True)
        ]
        return named, len(found) == limit

    def taken(self, message: NodeMessage) -> None:
        self.reached = place_of(message)


def _cursor(on_nodes: Sequence[_OnNode], table: _Forwarded, *, newest_first: bool, since_ms: int) -> str:
    left = tuple((each.key.gid, each.key.nid, int(each.reached)) for each in on_nodes if not each.exhausted)
    row = None if table.exhausted else table.reached
    return tokens.write(Reached(newest_first=newest_first, since_ms=since_ms, nodes=left, table=row))


def _resume(on_nodes: Sequence[_OnNode], since_ms: int) -> str:
    behind = tuple((each.key.gid, each.key.nid, int(each.resume)) for each in on_nodes if each.resume)
    return tokens.write(Reached(newest_first=False, since_ms=since_ms, nodes=behind))


def _fits(selector: Selector, node: Node) -> bool:
    return selector.matches(node.key, name=node.name, labels=node.labels)
