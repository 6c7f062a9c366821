"""Search of the fleet's messages: those that the nodes store, together with those that they forwarded.

A node is asked over its session; of one that is offline, only the table `messages` is read. Owns which nodes are asked
and the problems reported about those that do not answer. It never stores messages. `following.py` streams new ones, and
`merging.py` orders those of many nodes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from quarterdeck.model.errors import BadInput, NoSuchNodes, QuarterdeckError, TimedOut
from quarterdeck.model.jobs import is_id
from quarterdeck.model.messages import FoundMessages, MessageFilter, MessagePage, NodeMessage
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.server.messages import cursors as tokens
from quarterdeck.server.messages.cursors import Reached
from quarterdeck.server.messages.following import Followed, Start, follow, of_node, trouble
from quarterdeck.server.messages.links import MessageLinks
from quarterdeck.server.messages.merging import Source, merge
from quarterdeck.server.messages.pacing import Paced
from quarterdeck.server.selection import check_names, matching, no_match
from quarterdeck.store.state import jobs, nodes
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.messages import RowPlace, find_messages, place_of

#: nodes that are asked at a time, for all searches together
CONCURRENT = 64
#: how long one node may take to answer in a search of many
NODE_S = 10.0
#: how long all of them may take
NODES_S = 30.0
#: the most nodes that one follower may follow
FOLLOW_NODES = 500
#: nodes that are named individually when they cannot be asked
NAMED = 10
_LATEST_MS = 1 << 53
_LAST = (1 << 32) - 1


class Messages:
    """Finds messages. `clock`: seconds since the epoch."""

    def __init__(
        self,
        database: Database,
        *,
        links: MessageLinks,
        store: TelemetryStore,
        clock: Callable[[], float] = time.time,
        node_s: float = NODE_S,
        follow_nodes: int = FOLLOW_NODES,
    ) -> None:
        self._database = database
        self._links = links
        self._store = store
        self._clock = clock
        self._node_s = node_s
        self._follow_nodes = follow_nodes
        self._turns = asyncio.Semaphore(CONCURRENT)

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage:
        """Return the next page of messages that the node stores; with `wait_s`, wait for a message after the cursor.

        Raise `Unavailable` when the node is not connected or disconnects, `TimedOut`, or `Forbidden` (its allow-list).
        """
        return await self._links.ask(key, wanted, wait_s)

    async def skip(self, key: NodeKey, wanted: MessageFilter) -> MessagePage:
        """Return the newest page after the cursor, and how many messages it skips. Raise as `read` does."""
        return await self._links.ask(key, wanted, 0.0, skip=True)

    def paced(self) -> Paced:
        """Return a reader for one follower, for which the programs that it reads wait until it leaves."""
        return Paced(self._links)

    async def select(self, selector: Selector, wanted: MessageFilter, *, cursor: str = "") -> FoundMessages:
        """Return the next page of stored and forwarded messages; `cursor` is that of the previous page.

        Raise `NoSuchNodes`, `BadInput` or an error of the telemetry store. Report a node that does not answer as a
        problem of the page.
        """
        before = tokens.read(cursor) if cursor else None
        if before is not None and before.newest_first != wanted.newest_first:
            raise BadInput(
                "This cursor is of the other direction.", hint="Use the same order as for the previous page."
            )
        chosen = await self._choose(selector, wanted, first=before is None)
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
        """Stream new messages, or those after a token (`resume` of `select`, or of an earlier stream), as they arrive.

        Raise `NoSuchNodes` or `BadInput`.
        """
        before = tokens.read(token) if token else None
        chosen = await self._choose(selector, wanted, first=before is None)
        if not chosen.names:
            raise NoSuchNodes(
                "There is no node to follow.", hint="See `qd node ls`, and `qd job show` for a job's nodes."
            )
        if len(chosen.names) > self._follow_nodes:
            raise BadInput(
                f"At most {self._follow_nodes} nodes can be followed; these are {len(chosen.names)}.",
                hint="Name fewer: by job, label or node.",
            )
        since_ms = int(self._clock() * 1000) if before is None else before.since_ms
        cursors = {} if before is None else before.cursors
        start = Start(wanted=wanted, since_ms=since_ms, names=chosen.names, cursors=cursors)

        async def look() -> Mapping[NodeKey, str]:
            names = (await self._choose(selector, wanted, first=False)).names
            return names if len(names) <= self._follow_nodes else {}

        return follow(self, self._links, start, look)

    async def ask(self, key: NodeKey, wanted: MessageFilter, *, deadline: float) -> MessagePage:
        """Read a node as part of a search of many: wait for a slot, with a short time limit and before `deadline`."""
        try:
            async with asyncio.timeout_at(deadline), self._turns, asyncio.timeout(self._node_s):
                return await self.read(key, wanted)
        except TimeoutError as error:
            raise TimedOut(f"It did not answer within {self._node_s:g} s.") from error

    async def _choose(self, selector: Selector, wanted: MessageFilter, *, first: bool) -> _Chosen:
        """Return the selected nodes; for a command, the nodes of its jobs.

        At the `first` call each name in the selector must be a node; later that node may have been removed.
        """
        async with self._database.read() as transaction:
            every = await nodes.find_all(transaction)
            id_ = wanted.job_id or ""
            command = await jobs.find_command(transaction, id_) if is_id(id_) else None
            ran = None if command is None else await jobs.find(transaction, number=command.number)
        if first:
            check_names(every, selector)
        fits = matching(every, selector)
        if not fits and selector != Selector():
            raise no_match(selector, joined=len(every))
        names = {node.key: node.name for node in fits}
        if ran is not None:
            there = {each.job.key for each in ran}
            names = {key: name for key, name in names.items() if key in there}
        return _Chosen(names, known={n.key: n.name for n in every}, everywhere=selector == Selector())


class _Chosen:
    """The selected nodes with their names. `everywhere`: include matching messages of any node, also removed ones."""

    def __init__(self, names: Mapping[NodeKey, str], *, known: Mapping[NodeKey, str], everywhere: bool) -> None:
        self.names = names
        self.keys = tuple(names)
        self.known = known
        self.everywhere = everywhere


class _NodeQuestion:
    """One search of many nodes: its filter, the connected nodes, and why some do not answer."""

    def __init__(self, messages: Messages, wanted: MessageFilter, here: set[NodeKey]) -> None:
        self.wanted = wanted
        self._messages = messages
        self._here = here
        self._deadline = asyncio.get_running_loop().time() + NODES_S
        self._away: list[str] = []
        self._said: dict[str, None] = {}

    async def ask(self, key: NodeKey, name: str, *, cursor: str, limit: int) -> MessagePage | None:
        """Return the node's next page, or None when it cannot be read, which adds a problem."""
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
        """Return the reasons why messages may be missing."""
        away = sorted(self._away)
        named = [f"{name} is offline; only what it forwarded is shown." for name in away[:NAMED]]
        if len(away) > NAMED:
            named.append(f"{len(away) - NAMED} more nodes are offline; only what they forwarded is shown.")
        return [*named, *self._said]


class _OnNode(Source):
    """The messages that one node stores."""

    def __init__(self, question: _NodeQuestion, key: NodeKey, name: str, cursor: str) -> None:
        super().__init__()
        self.key = key
        self.reached = cursor  #: after the messages that were taken
        self.resume = "" if question.wanted.newest_first else cursor  #: for messages that are printed later
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
        """Continue after this row; None means that no rows are left."""
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
