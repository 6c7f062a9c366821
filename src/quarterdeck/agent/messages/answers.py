"""Answers the server's queries for this node's messages while a link is up: each query gets one page.

Many queries may be open at one time, and an idle one costs little: it waits until the log signals new messages. An
answer is sent soon after a message matches, together with others of the same moment, or when its wait has passed.

The node's allow-list applies here too, as `get_msgs`. When the link ends, all queries end with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import msgspec

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.kit.patterns import matches_any
from quarterdeck.kit.tasks import cancel
from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import AskMessages, MessagesFound, StopAsking
from quarterdeck.model.errors import BadInput, Forbidden, QuarterdeckError, Unavailable
from quarterdeck.model.messages import MessageFilter, MessagePage

#: the command whose permission a query needs
COMMAND = "get_msgs"
#: how long messages are gathered before they are sent together, unless there are this many
GATHER_S, GATHERED = 0.05, 100
#: the longest wait that a query may ask for
WAIT_LIMIT_S = 60.0
#: queries that may be open at one time
OPEN_LIMIT = 1000

log = logging.getLogger(__name__)


class Answers:
    """Answers the server from `messages`. `allow`: the patterns of the commands that this node accepts."""

    takes = (AskMessages, StopAsking)

    def __init__(self, messages: MessageLog, *, allow: Sequence[str], gather_s: float = GATHER_S) -> None:
        self._messages = messages
        self._allowed = matches_any(COMMAND, allow)
        self._gather_s = gather_s

    def open(self, link: LiveLink) -> Conversation:
        """Open a conversation on a new link."""
        return _Answering(link, self._messages, allowed=self._allowed, gather_s=self._gather_s)


class _Answering(Conversation):
    """The queries that came over one link."""

    def __init__(self, link: LiveLink, messages: MessageLog, *, allowed: bool, gather_s: float) -> None:
        self._link = link
        self._messages = messages
        self._allowed = allowed
        self._gather_s = gather_s
        self._inbox: deque[AskMessages | StopAsking] = deque()
        self._news = asyncio.Event()
        self._open: dict[int, asyncio.Task[None]] = {}

    async def received(self, message: AskMessages | StopAsking) -> None:
        self._inbox.append(message)
        self._news.set()

    async def run(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._inbox:
                    await self._take(self._inbox.popleft())
        finally:
            self._messages.pacing.leave_all()
            await cancel(*self._open.values())

    async def _take(self, message: AskMessages | StopAsking) -> None:
        if isinstance(message, StopAsking):
            if message.number in self._open:
                self._open[message.number].cancel()
            self._messages.pacing.leave(message.follower)
            return
        if len(self._open) >= OPEN_LIMIT:
            busy = Unavailable(f"{OPEN_LIMIT} questions for messages are open already.")
            await self._link.send(_refusal(message, busy))
            return
        task = self._open[message.number] = asyncio.create_task(self._answer(message))
        task.add_done_callback(lambda _: self._open.pop(message.number, None))

    async def _answer(self, ask: AskMessages) -> None:
        try:
            found = MessagesFound(number=ask.number, page=await self._find(ask))
        except QuarterdeckError as error:
            found = _refusal(ask, error)
        except Exception as error:
            log.exception("messages could not be searched because of an internal error")
            found = _refusal(ask, QuarterdeckError(f"Internal error: {type(error).__name__}: {error}."))
        try:
            await self._link.send(found)
        except Unavailable as error:
            log.debug("an answer to the server was not sent: %s", error)  # the link ends, and its queries with it

    async def _find(self, ask: AskMessages) -> MessagePage:
        if not self._allowed:
            raise Forbidden(f"This node's configuration (agent.jobs.allow) has no {COMMAND}.")
        wanted = _filter(ask)
        if ask.skip:
            return await self._messages.select(wanted, skip=True)
        wait_s = 0.0 if wanted.newest_first else min(ask.wait_s, WAIT_LIMIT_S)
        with self._messages.watch(wanted) as news:
            page = await self._select(wanted, ask.follower)
            if wait_s <= 0 or page.cursor or (page.messages and not wanted.cursor) or len(page.messages) >= GATHERED:
                return page
            if not page.messages:
                wanted = msgspec.structs.replace(wanted, cursor=page.resume)
                problems = page.problems
                page = await self._wait_for(wanted, news, wait_s, follower=ask.follower)
                return msgspec.structs.replace(page, problems=tuple(dict.fromkeys((*problems, *page.problems))))
            await asyncio.sleep(self._gather_s)  # the next page then holds the rest of what is being printed
            return await self._select(wanted, ask.follower)

    async def _select(self, wanted: MessageFilter, follower: int) -> MessagePage:
        """Return a page. `follower`: the number of a follower that programs wait for; 0 for none."""
        if not follower:
            return await self._messages.select(wanted)
        before = self._messages.pacing.follow(follower, wanted)
        page = await self._messages.select(wanted)
        self._messages.pacing.given(follower, page, before=before)
        return page

    async def _wait_for(
        self, wanted: MessageFilter, news: asyncio.Event, wait_s: float, *, follower: int
    ) -> MessagePage:
        """Return the first page with a message behind the filter's cursor, or an empty one when the wait has passed."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await news.wait()
            except TimeoutError:
                return MessagePage(messages=(), resume=wanted.cursor)
            await asyncio.sleep(self._gather_s)
            news.clear()
            page = await self._select(wanted, follower)
            if page.messages:
                return page
            wanted = msgspec.structs.replace(wanted, cursor=page.resume)


def _filter(ask: AskMessages) -> MessageFilter:
    try:
        return msgspec.convert(ask.filter, MessageFilter)
    except msgspec.ValidationError as error:
        raise BadInput(f"This node cannot read the filter of this query for messages: {error}.") from error


def _refusal(ask: AskMessages, error: QuarterdeckError) -> MessagesFound:
    return MessagesFound(number=ask.number, code=error.code, problem=str(error))
