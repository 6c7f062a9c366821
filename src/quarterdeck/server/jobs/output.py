"""The output of a command: each change of its jobs, and the messages they print, as one stream.

Changes come from `commands.py`, messages from the nodes, which are read page by page at the speed of the follower. The
messages of one node are in order, and a job's result follows all of its messages. A node that goes offline is reported,
and read again when it is back; when its job has ended and it cannot be read, the last lines in the result are sent
instead of the rest. Nothing is stored: a `Position` says where a follower is.

Its memory is bounded: one small question is open for each node whose job runs, at most `ENDINGS` jobs have ended
without being reported, and `QUEUE` pages wait for the follower, `PAGES` of one node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple, Protocol

from quarterdeck.kit.race import within
from quarterdeck.kit.tasks import TaskSet, cancel, own_cancellation
from quarterdeck.model.errors import QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.jobs import Job, JobState, is_final
from quarterdeck.model.messages import PAGE_MESSAGES, Level, Mark, Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.output import SILENT, NodeMessages
from quarterdeck.server.jobs.commands import Change, Commands
from quarterdeck.server.jobs.position import Position

#: how long one question to a node may wait for a message
WAIT_S = 20.0
#: how long to wait before an unreachable node is asked again
RETRY_S = 1.0
#: how often an unreachable node is asked for the rest of its messages after its job has ended
RETRIES = 5
#: jobs that have ended and were not reported yet
ENDINGS = 64
#: pages and changes that wait for the follower; as many become one group of events
QUEUE = 64
#: pages of one node among them: more would only be older when they are sent
PAGES = 2
#: messages that all open questions together may request, and each at least
_MESSAGES, _SHARE = 16 * PAGE_MESSAGES, 16


class OutputEvent(NamedTuple):
    """One event. `token`: the position after it; "" when the next event follows at once and has one for both."""

    event: NodeMessages | Job
    token: str


class NodeAsked(Protocol):
    """Reads the messages of a node."""

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage: ...


class PacedNodes(NodeAsked, Protocol):
    """Reads the messages of nodes for one follower, for which the programs wait until it leaves."""

    def leave(self) -> None: ...


class Nodes(NodeAsked, Protocol):
    """Reads the messages of all nodes."""

    def paced(self) -> PacedNodes: ...


class Output:
    """Follows commands with their output."""

    def __init__(self, commands: Commands, messages: Nodes, *, retry_s: float = RETRY_S) -> None:
        self._commands = commands
        self._messages = messages
        self._retry_s = retry_s

    async def follow(self, command_id: str, token: str = "", *, paced: bool = False) -> AsyncIterator[OutputEvent]:
        """Stream every job with its output, from the start or after `token`, until all jobs have a result.

        `paced`: slow the programs down to this follower. Raise `NotFound`, or `BadInput` when the token is invalid.
        """
        position = Position.parse(token) if token else Position()
        changes = await self._commands.follow(command_id)
        nodes = self._messages.paced() if paced else None
        following = _Following(command_id, nodes or self._messages, position, live=True, retry_s=self._retry_s)
        events = following.events(changes)
        return _until_left(events, nodes) if nodes else events

    async def read(self, command_id: str) -> AsyncIterator[OutputEvent]:
        """Stream the jobs with their output so far, and end. Raise `NotFound`."""
        jobs = (await self._commands.show(command_id)).jobs
        following = _Following(command_id, self._messages, Position(), live=False, retry_s=self._retry_s)
        return following.events(_once(jobs))


async def _until_left(events: AsyncGenerator[OutputEvent], nodes: PacedNodes) -> AsyncGenerator[OutputEvent]:
    try:
        async with aclosing(events):
            async for told in events:
                yield told
    finally:
        nodes.leave()


async def _once(jobs: tuple[Job, ...]) -> AsyncGenerator[Change]:
    for job in jobs:
        yield Change(job, 0)


class _Node:
    """A node whose job prints or has printed."""

    def __init__(self, job: Job, cursor: str) -> None:
        self.key = job.key
        self.name = job.node_name
        self.cursor = cursor
        self.told = bool(cursor)
        self.said: set[str] = set()
        self.tries = 0
        self.over = asyncio.Event()
        self.room = asyncio.Semaphore(PAGES)
        self.job = job

    def end(self, job: Job) -> None:
        """Record that the job has ended: no more messages will be printed, and the rest is read to the end."""
        self.job = job
        self.over.set()

    def page(self, *messages: Message, problems: tuple[str, ...] = ()) -> NodeMessages:
        """Return an event with messages of the node, and with the problems that were not reported before."""
        new = tuple(problem for problem in problems if problem not in self.said)
        self.said.update(new)
        return NodeMessages(gid=self.key.gid, nid=self.key.nid, node_name=self.name, messages=messages, problems=new)


class _Changed(NamedTuple):
    """A change of a job that can be sent at once."""

    job: Job
    number: int


class _Ending(NamedTuple):
    """The end of a job, which is sent after its output."""

    key: NodeKey
    number: int


class _Page(NamedTuple):
    key: NodeKey
    page: NodeMessages
    cursor: str


class _Ended(NamedTuple):
    """The end of a job all of whose output was sent, except for these last lines from its result."""

    job: Job
    rest: NodeMessages | None


class _Following:
    """The stream of one follower. One reader for each node puts pages into a queue, which `events` sends."""

    def __init__(self, command_id: str, messages: NodeAsked, position: Position, *, live: bool, retry_s: float) -> None:
        self._id = command_id
        self._messages = messages
        self._live = live
        self._retry_s = retry_s
        self._before = Position(position.change, dict(position.nodes))
        self._position = position
        self._nodes: dict[NodeKey, _Node] = {}
        self._open = 0
        self._endings = asyncio.Semaphore(ENDINGS)
        self._queue = asyncio.Queue[_Changed | _Ending | _Page | _Ended | Exception | None](QUEUE)
        self._readers = TaskSet()

    async def events(self, changes: AsyncIterator[Change]) -> AsyncGenerator[OutputEvent]:
        producing = asyncio.create_task(self._produce(changes))
        try:
            while True:
                found = [await self._queue.get()]
                while not self._queue.empty() and len(found) < QUEUE:
                    found.append(self._queue.get_nowait())
                events = [event for item in found for event in self._apply(item)]
                for event in events[:-1]:
                    yield OutputEvent(event, "")
                for event in events[-1:]:
                    yield OutputEvent(event, str(self._position) if self._live else "")
                if found[-1] is None:
                    return
        finally:
            await cancel(producing, *self._readers)

    def _apply(self, item: _Changed | _Ending | _Page | _Ended | Exception | None) -> list[NodeMessages | Job]:
        """Return the events of an item, and move the position behind it."""
        position = self._position
        match item:
            case _Changed(job, number):
                position.change = max(position.change, number)
                return [job]
            case _Ending(key, number):
                position.change = max(position.change, number)
                position.nodes.setdefault(key, "")
                return []
            case _Page(key, page, cursor):
                self._nodes[key].room.release()
                if page.messages:
                    position.nodes[key] = cursor
                return [page]
            case _Ended(job, rest):
                position.nodes.pop(job.key, None)
                return [rest, job] if rest else [job]
            case None:
                return []
            case error:
                raise error

    # ── changes of the jobs ──────────────────────────────────────────────────────────────────────────────────────────
    async def _produce(self, changes: AsyncIterator[Change]) -> None:
        try:
            with own_cancellation():
                async for job, number in changes:
                    await self._changed(job, number)
                while self._readers:
                    await self._readers.wait()
                await self._queue.put(None)
        except Exception as error:  # noqa: BLE001 (`events` raises it)
            await self._queue.put(error)

    async def _changed(self, job: Job, number: int) -> None:
        key = job.key
        prints = key in self._nodes or _prints(job)
        if self._live and number <= self._before.change:  # it was sent, unless its output was not
            if is_final(job.state) and key in self._before.nodes:
                await self._end(job, number)
            elif prints and not is_final(job.state):
                self._node(job)
        elif not prints:
            await self._queue.put(_Changed(job, number))
        elif is_final(job.state) or not self._live:
            await self._end(job, number)
        else:
            await self._queue.put(_Changed(job, number))
            self._node(job)

    async def _end(self, job: Job, number: int) -> None:
        await self._endings.acquire()
        await self._queue.put(_Ending(job.key, number))
        self._node(job).end(job)

    def _node(self, job: Job) -> _Node:
        """Return the node of this job; start a reader of its messages if there is none."""
        key = job.key
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = _Node(job, self._before.nodes.get(key, ""))
            self._readers.spawn(self._see_through(node))
        return node

    # ── output of one node ───────────────────────────────────────────────────────────────────────────────────────────
    async def _see_through(self, node: _Node) -> None:
        """Read a node from its first message to the result of its job."""
        self._open += 1
        try:
            with own_cancellation():
                rest = await self._read(node)
            if is_final(node.job.state):
                await self._queue.put(_Ended(node.job, rest))
            elif rest:
                await self._put(node, rest)
        except Exception as error:  # noqa: BLE001 (`events` raises it)
            await self._queue.put(error)
        finally:
            self._open -= 1
            if node.over.is_set():
                self._endings.release()

    async def _read(self, node: _Node) -> NodeMessages | None:
        """Read all messages of the node; return those that could only be taken from the job's result."""
        while True:
            over = node.over.is_set()
            try:
                page = await self._ask(node)
            except QuarterdeckError as error:
                away = isinstance(error, Unavailable)
                if over and not (away and self._live and node.told and node.tries < RETRIES):
                    return _rest(node, error)
                away = away or isinstance(error, TimedOut)
                await self._say(node, error, away=away)
                await self._pause(node, over=over, away=away)
                continue
            if page is None:
                continue
            node.said.discard(_AWAY)
            await self._tell(node, page)
            if over and page.cursor is None:
                return None if node.told else _rest(node, None)

    async def _ask(self, node: _Node) -> MessagePage | None:
        """Return the next page, or None if the job ended before there was one."""
        limit = max(_SHARE, min(PAGE_MESSAGES, _MESSAGES // max(1, self._open)))
        wanted = MessageFilter(job_id=self._id, cursor=node.cursor, limit=limit)
        if node.over.is_set():
            return await self._messages.read(node.key, wanted)
        reading = asyncio.ensure_future(self._messages.read(node.key, wanted, WAIT_S))
        ending = asyncio.ensure_future(node.over.wait())
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            return await reading if reading.done() else None
        finally:
            reading.cancel()
            ending.cancel()
            await asyncio.wait({reading, ending})

    async def _tell(self, node: _Node, page: MessagePage) -> None:
        node.cursor = page.resume or node.cursor
        told = node.page(*page.messages, problems=page.problems)
        if told.messages or told.problems:
            node.told = node.told or bool(told.messages)
            await self._put(node, told, node.cursor)

    async def _put(self, node: _Node, page: NodeMessages, cursor: str = "") -> None:
        await node.room.acquire()
        await self._queue.put(_Page(node.key, page, cursor))

    async def _say(self, node: _Node, error: QuarterdeckError, *, away: bool) -> None:
        """Report that the node cannot be read, once until it can be read again."""
        if _AWAY not in node.said:
            node.said.add(_AWAY)
            slow, later = isinstance(error, TimedOut), "what it prints is shown when it"
            when = f"{later} {'answers' if slow else 'is back'}" if away else "the end of it is shown with the result"
            told = NodeMessages(
                gid=node.key.gid,
                nid=node.key.nid,
                node_name=node.name,
                problems=(f"Its output cannot be read now, {when}: {error}",),
            )
            await self._put(node, told)

    async def _pause(self, node: _Node, *, over: bool, away: bool) -> None:
        """Wait before the next attempt. `over`: the job had ended before the last one, which therefore counts."""
        if over:
            node.tries += 1
            await asyncio.sleep(self._retry_s)
            return
        await within(self._retry_s if away else None, node.over.wait())


#: marks in `_Node.said` that the node was reported as unreadable
_AWAY = ""


def _prints(job: Job) -> bool:
    """Return whether a process of the job may have started to print."""
    if job.cmd in SILENT:
        return False
    if not is_final(job.state):
        return job.state is JobState.RUNNING
    return bool(job.result and job.result.starttime) or (job.state is JobState.LOST and job.accept_time > 0)


def _rest(node: _Node, error: QuarterdeckError | None) -> NodeMessages | None:
    """Return the last lines of the job's result, if no message of the job was read, and why the rest is missing."""
    why = f"Its output cannot be read: {error}" if error else "The node has no messages of it."
    lines = () if node.told or node.job.result is None else _lines(node.job)
    if not lines:
        return node.page(problems=(why,)) if error else None
    return node.page(*lines, problems=(f"{why} These are the last lines of its result.",))


def _lines(job: Job) -> tuple[Message, ...]:
    result = job.result
    assert result is not None
    found: list[Message] = []
    for level, stream in zip((Level.STDOUT, Level.STDERR), result.streams, strict=True):
        *lines, last = stream.split("\n")
        texts = [(line.removesuffix("\r"), Mark.CRLF if line.endswith("\r") else Mark(0)) for line in lines]
        texts += [(last, Mark.CONTINUES)] if last else []
        found += [
            Message(id=0, job_id=job.id, epoch=result.starttime + result.time, level=level, data=text, marks=marks)
            for text, marks in texts
        ]
    return tuple(found)
