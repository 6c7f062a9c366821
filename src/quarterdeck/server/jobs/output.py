"""A command followed with its output: each change of its jobs, and what they print, as one stream.

Changes come from `commands.py`, messages from the nodes, each asked for its own, page by page, at the pace of whoever
reads. Of one node everything is in its order, and a job's result comes behind all that it printed. A node that goes
away is said to be, and taken up again when it is back; when its job is over and it cannot be asked, the last lines in
the result stand for the rest. Nothing is kept: `Place` says where a follower is.

What it takes is bounded: one small question is open for each node whose job runs, at most `ENDINGS` jobs are between
their end and the word of it, and `QUEUE` pages wait for the reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import NamedTuple, Protocol

from quarterdeck.model.errors import QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.jobs import Job, JobState, is_final
from quarterdeck.model.messages import PAGE_MESSAGES, Level, Mark, Message, MessageFilter, MessagePage
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.output import SILENT, NodeMessages
from quarterdeck.server.jobs.commands import Change, Commands
from quarterdeck.server.jobs.place import Place

#: how long one question to a node may wait for a message
WAIT_S = 20.0
#: until a node that is away is asked again
RETRY_S = 1.0
#: how often a node is asked for the rest of what was told in part, when it is away and its job is over
RETRIES = 5
#: jobs that are over and not told
ENDINGS = 64
#: pages and changes that wait for the reader; as many become one group of events
QUEUE = 64
#: messages that all open questions together ask for, and each at least
_MESSAGES, _SHARE = 16 * PAGE_MESSAGES, 16


class Told(NamedTuple):
    """One event. `token`: where to go on after it; "" when the next event comes with it and has one for both."""

    event: NodeMessages | Job
    token: str


class NodeAsked(Protocol):
    """Where messages of a node are read."""

    async def read(self, key: NodeKey, wanted: MessageFilter, wait_s: float = 0.0) -> MessagePage: ...


class Output:
    """Follows commands with what they print."""

    def __init__(self, commands: Commands, messages: NodeAsked) -> None:
        self._commands = commands
        self._messages = messages

    async def follow(self, command_id: str, token: str = "") -> AsyncIterator[Told]:
        """Every job as it is and what it printed so far, or after `token`; then all that comes, until all are over.

        `NotFound`; `BadInput` when the token is none.
        """
        place = Place.parse(token) if token else Place()
        changes = await self._commands.follow(command_id)
        return _Following(command_id, self._messages, place, live=True).events(changes)

    async def read(self, command_id: str) -> AsyncIterator[Told]:
        """What the jobs printed so far, and the jobs that are over. `NotFound`."""
        jobs = (await self._commands.show(command_id)).jobs
        return _Following(command_id, self._messages, Place(), live=False).events(_once(jobs))


async def _once(jobs: tuple[Job, ...]) -> AsyncGenerator[Change]:
    for job in jobs:
        yield Change(job, 0)


class _Node:
    """A node whose job prints, or has printed."""

    def __init__(self, job: Job, cursor: str) -> None:
        self.key = job.key
        self.name = job.node_name
        self.cursor = cursor
        self.told = bool(cursor)
        self.said: set[str] = set()
        self.tries = 0
        self.over = asyncio.Event()
        self.job = job

    def end(self, job: Job) -> None:
        """No more messages will come: what it has is read to the end."""
        self.job = job
        self.over.set()

    def page(self, *messages: Message, problems: tuple[str, ...] = ()) -> NodeMessages:
        """Messages of it, with the problems that were not said before."""
        new = tuple(problem for problem in problems if problem not in self.said)
        self.said.update(new)
        return NodeMessages(gid=self.key.gid, nid=self.key.nid, node_name=self.name, messages=messages, problems=new)


class _Changed(NamedTuple):
    """A job is in another state, and that can be told."""

    job: Job
    number: int


class _Ending(NamedTuple):
    """A job is over; it is told when its output is."""

    key: NodeKey
    number: int


class _Page(NamedTuple):
    key: NodeKey
    page: NodeMessages
    cursor: str


class _Ended(NamedTuple):
    """All was told, but these last lines, of its result."""

    job: Job
    rest: NodeMessages | None


class _Following:
    """One follower's stream. Readers, one for each node, put what they find into a queue; `events` tells it."""

    def __init__(self, command_id: str, messages: NodeAsked, place: Place, *, live: bool) -> None:
        self._id = command_id
        self._messages = messages
        self._live = live
        self._before = Place(place.change, dict(place.nodes))
        self._place = place
        self._nodes: dict[NodeKey, _Node] = {}
        self._open = 0
        self._endings = asyncio.Semaphore(ENDINGS)
        self._queue = asyncio.Queue[_Changed | _Ending | _Page | _Ended | Exception | None](QUEUE)
        self._readers: set[asyncio.Task[None]] = set()

    async def events(self, changes: AsyncIterator[Change]) -> AsyncGenerator[Told]:
        producing = asyncio.create_task(self._produce(changes))
        try:
            while True:
                found = [await self._queue.get()]
                while not self._queue.empty() and len(found) < QUEUE:
                    found.append(self._queue.get_nowait())
                events = [event for item in found for event in self._apply(item)]
                for event in events[:-1]:
                    yield Told(event, "")
                for event in events[-1:]:
                    yield Told(event, str(self._place) if self._live else "")
                if found[-1] is None:
                    return
        finally:
            ending = {producing, *self._readers}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)

    def _apply(self, item: _Changed | _Ending | _Page | _Ended | Exception | None) -> list[NodeMessages | Job]:
        """What is told of it; afterwards the place is behind it."""
        place = self._place
        match item:
            case _Changed(job, number):
                place.change = max(place.change, number)
                return [job]
            case _Ending(key, number):
                place.change = max(place.change, number)
                place.nodes.setdefault(key, "")
                return []
            case _Page(key, page, cursor):
                if page.messages:
                    place.nodes[key] = cursor
                return [page]
            case _Ended(job, rest):
                place.nodes.pop(job.key, None)
                return [rest, job] if rest else [job]
            case None:
                return []
            case error:
                raise error

    # ── what becomes of the jobs ─────────────────────────────────────────────────────────────────────────────────────
    async def _produce(self, changes: AsyncIterator[Change]) -> None:
        try:
            async for job, number in changes:
                await self._changed(job, number)
            while self._readers:
                await asyncio.wait(self._readers)
            await self._queue.put(None)
        except Exception as error:  # noqa: BLE001 (whoever reads raises it)
            await self._queue.put(error)

    async def _changed(self, job: Job, number: int) -> None:
        key = job.key
        prints = key in self._nodes or _prints(job)
        if self._live and number <= self._before.change:  # it was told, unless its output was not
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
        """The node of this job, with a reader of its messages."""
        key = job.key
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = _Node(job, self._before.nodes.get(key, ""))
            reading = asyncio.create_task(self._see_through(node))
            self._readers.add(reading)
            reading.add_done_callback(self._readers.discard)
        return node

    # ── what one of them prints ──────────────────────────────────────────────────────────────────────────────────────
    async def _see_through(self, node: _Node) -> None:
        """From the first message to the result."""
        self._open += 1
        try:
            rest = await self._read(node)
            if is_final(node.job.state):
                await self._queue.put(_Ended(node.job, rest))
            elif rest:
                await self._queue.put(_Page(node.key, rest, ""))
        except Exception as error:  # noqa: BLE001 (whoever reads raises it)
            await self._queue.put(error)
        finally:
            self._open -= 1
            if node.over.is_set():
                self._endings.release()

    async def _read(self, node: _Node) -> NodeMessages | None:
        """Everything, as long as the job is not over; then what was not read, from its result."""
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
        """The next page. None: the job was over before there was one."""
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
            await self._queue.put(_Page(node.key, told, node.cursor))

    async def _say(self, node: _Node, error: QuarterdeckError, *, away: bool) -> None:
        """It cannot be read now; said once, until it can be again."""
        if _AWAY not in node.said:
            node.said.add(_AWAY)
            when = "what it prints is shown when it is back" if away else "the end of it is shown with the result"
            told = NodeMessages(
                gid=node.key.gid,
                nid=node.key.nid,
                node_name=node.name,
                problems=(f"Its output cannot be read now, {when}: {error}",),
            )
            await self._queue.put(_Page(node.key, told, ""))

    async def _pause(self, node: _Node, *, over: bool, away: bool) -> None:
        """`over`: whether the job was when the node was asked. Only then was it asked for the rest."""
        if over:
            node.tries += 1
            await asyncio.sleep(RETRY_S)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S if away else None):
                await node.over.wait()


#: among what was said of a node: that it cannot be asked
_AWAY = ""


def _prints(job: Job) -> bool:
    """Whether a process may have begun to print for it."""
    if job.cmd in SILENT:
        return False
    if not is_final(job.state):
        return job.state is JobState.RUNNING
    return bool(job.result and job.result.starttime) or (job.state is JobState.LOST and job.accept_time > 0)


def _rest(node: _Node, error: QuarterdeckError | None) -> NodeMessages | None:
    """What can be told of a job whose messages cannot be read to their end: the end of its streams, if none were."""
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
